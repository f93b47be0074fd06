#include "gateway/api/completions/completions_door.h"

#include <iterator>
#include <utility>

#include "gateway/api/completions/completion_request.h"
#include "gateway/api/completions/completion_stream_writer.h"
#include "gateway/api/completions/completion_whole_writer.h"
#include "gateway/text/detokenizer.h"

namespace quire::gateway {
namespace {

// A prompt as its client wrote it: of ids, all of their text.
std::string EchoOf(const Prompt& prompt, const Tokenizer& tokenizer) {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return text->text;
  Detokenizer detokenizer(tokenizer, /*skip_special_tokens=*/false);
  std::string text;
  for (const TokenId id : std::get<IdsPrompt>(prompt).ids) text += detokenizer.Push(id);
  return text + detokenizer.Flush();
}

size_t SilentOf(const Prompt& prompt, const Tokenizer& tokenizer) {
  const auto* text = std::get_if<TextPrompt>(&prompt);
  return text != nullptr && text->add_special_tokens ? tokenizer.prefix_ids().size() : 0;
}

}  // namespace

ApiResult<DoorRequest> ParseCompletion(std::string_view body) {
  ApiResult<CompletionRequest> parsed = ParseCompletionRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  CompletionRequest& request = std::get<CompletionRequest>(parsed);
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = {},
                   .stream = request.stream.stream,
                   .make_writer = nullptr};
  door.make_writer = [stream = request.stream, as_ids = request.tokens_as_ids,
                      echoed = request.echo ? request.prompts : std::vector<Prompt>()](
                         AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    CompletionForm form{.usage_frames = stream.usage_frames, .tokens_as_ids = as_ids};
    for (const Prompt& prompt : echoed) {
      const Tokenizer& tokenizer = head.text->tokenizer();
      form.echoes.push_back({.text = EchoOf(prompt, tokenizer), .silent = SilentOf(prompt, tokenizer)});
    }
    if (stream.stream) return std::make_unique<CompletionStreamWriter>(head, std::move(form));
    return std::make_unique<CompletionWholeWriter>(std::move(head), std::move(form));
  };
  door.prompt = std::move(request.prompts.front());
  door.more_prompts.assign(std::make_move_iterator(request.prompts.begin() + 1),
                           std::make_move_iterator(request.prompts.end()));
  return door;
}

}  // namespace quire::gateway
