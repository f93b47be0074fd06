// A whole chat answer: the body of a reply that is not streamed. It keeps the choices' texts until all have
// ended, then appends them, piece by piece, so that each token is counted with its own bytes. Pure; one per
// request, one thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

class ChatWholeWriter final : public AnswerWriter {
 public:
  explicit ChatWholeWriter(AnswerHead head) : head_(std::move(head)), choices_(head_.choices) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Choice {
    std::vector<Piece> pieces;
    ChoiceEnd end;
  };

  void AppendChoice(const Choice& choice, Sink& sink) const;
  void AppendLogprobs(const Choice& choice, Sink& sink) const;

  const AnswerHead head_;
  std::vector<Choice> choices_;
};

}  // namespace quire::gateway
