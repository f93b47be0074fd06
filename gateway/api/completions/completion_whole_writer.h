// A whole text completion: the body of a reply that is not streamed. It keeps the choices' texts until all
// have ended, then appends them, piece by piece, so that each token is counted with its own bytes. Pure; one
// per request, one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/api/completions/completion_json.h"

namespace quire::gateway {

class CompletionWholeWriter final : public AnswerWriter {
 public:
  CompletionWholeWriter(AnswerHead head, CompletionForm form)
      : head_(std::move(head)), form_(std::move(form)), choices_(head_.choices) {}

  void Scores(const ScoredPrompt& prompt) override;
  bool SayEcho(uint32_t choice, uint32_t positions, Sink& sink) override;
  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Part {
    std::string text;
    uint32_t positions = 0;
  };
  struct Choice {
    std::optional<EchoedPrompt> echoed;  // of a prompt that was scored
    std::string echo;                    // its text
    std::vector<Part> parts;
    size_t characters = 0;
    TokenLists lists;
    ChoiceEnd end;
  };

  void AppendChoice(Choice& choice, Sink& sink);

  const AnswerHead head_;
  CompletionForm form_;
  std::vector<Choice> choices_;
};

}  // namespace quire::gateway
