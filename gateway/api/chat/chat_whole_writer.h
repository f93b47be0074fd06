// A whole chat answer: the body of a reply that is not streamed. It keeps the choices' texts until all have
// ended, then appends them, piece by piece, so that each token is counted with its own bytes. Pure; one per
// request, one thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/api/chat/chat_json.h"
#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

class ChatWholeWriter final : public AnswerWriter {
 public:
  ChatWholeWriter(AnswerHead head, const ChatForm& form)
      : head_(std::move(head)), form_(form), choices_(head_.choices) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Choice {
    std::vector<Piece> pieces;
    uint32_t excluded = 0;  // positions of reasoning that is left out
    ChoiceEnd end;
  };

  void AppendMessage(const Choice& choice, Sink& sink) const;
  static void AppendTexts(const Choice& choice, PieceKind kind, Sink& sink);
  void AppendCalls(const Choice& choice, Sink& sink) const;
  void AppendChoice(const Choice& choice, Sink& sink) const;
  void AppendLogprobs(const Choice& choice, Sink& sink) const;

  const AnswerHead head_;
  const ChatForm form_;
  std::vector<Choice> choices_;
};

}  // namespace quire::gateway
