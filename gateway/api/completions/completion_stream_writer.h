// A streamed text completion as server-sent events: for each choice its prompt where that is echoed (in
// several chunks where it has scores), its text, and its finish_reason; then the usage where it was asked
// for, then [DONE]. Pure; one per request, one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/completions/completion_json.h"

namespace quire::gateway {

class CompletionStreamWriter final : public AnswerWriter {
 public:
  CompletionStreamWriter(const AnswerHead& head, CompletionForm form);

  void Scores(const ScoredPrompt& prompt) override;
  bool SayEcho(uint32_t choice, uint32_t positions, Sink& sink) override;
  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Choice {
    bool begun = false;                  // its echo was said
    std::optional<EchoedPrompt> echoed;  // where that has scores
    // Of the positions of what comes behind the echo: where that has scores they count from its first chunk
    // on, for these are what was asked for.
    uint32_t said = 0;
    size_t characters = 0;  // of its text so far
  };

  // A chunk up to its end.
  std::string Chunk(uint32_t choice, std::string_view text, std::string_view logprobs,
                    std::string_view finish) const;

  CompletionForm form_;
  const std::shared_ptr<const TextModel> text_;
  const std::string head_, chunk_end_;
  std::vector<Choice> choices_;
  uint32_t ended_ = 0;
  std::optional<ChoiceEnd> last_;  // rides with the usage
};

}  // namespace quire::gateway
