// Any bytes as the body of a text completion, of an inference, and of the doors that a model's text files
// answer: it parses or is refused with a sentence, and what parses is in bounds; a refused field is named by
// a path, and the refusal is one line of valid JSON.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "gateway/api/completions/completion_request.h"
#include "gateway/api/completions/completions_door.h"
#include "gateway/api/inference/inference_door.h"
#include "gateway/api/text/text_doors.h"

namespace {

using namespace quire::gateway;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckRefusal(const quire::http::ApiError& error) {
  Check(!error.message.empty());
  Check(error.status == 400 || (error.status == 422 && !error.param.empty()));
  const std::string body = quire::http::ErrorBody(error);
  const auto parsed = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  Check(parsed.is_object() && parsed["error"]["message"].is_string());
}

void CheckCompletion(const CompletionRequest& request) {
  Check(!request.sampling.model.empty());
  Check(!request.prompts.empty() && request.prompts.size() <= kMaxPrompts);
  size_t ids = 0;
  for (const Prompt& prompt : request.prompts) {
    Check(!std::holds_alternative<ChatPrompt>(prompt));
    const auto* of_ids = std::get_if<IdsPrompt>(&prompt);
    if (of_ids == nullptr) continue;
    ids += of_ids->ids.size();
    for (const quire::TokenId id : of_ids->ids) Check(id >= 0);
  }
  Check(!request.echo || (!request.sampling.logprobs && ids <= kMaxEchoedIds));
  Check(request.sampling.choices >= 1 && request.sampling.choices <= 4 && request.sampling.top_logprobs <= 5);
  Check(request.stream.stream || request.stream.usage_frames == UsageFrames::kOnFinish);
}

void CheckQuestion(const ApiResult<Question>& question) {
  if (const auto* error = std::get_if<quire::http::ApiError>(&question)) return CheckRefusal(*error);
  Check(!std::get<Question>(question).model.empty() && std::get<Question>(question).answer != nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const ApiResult<CompletionRequest> result = ParseCompletionRequest(body);
  if (const auto* error = std::get_if<quire::http::ApiError>(&result)) {
    CheckRefusal(*error);
  } else {
    CheckCompletion(std::get<CompletionRequest>(result));
    const ApiResult<DoorRequest> door = ParseCompletion(body);
    Check(1 + std::get<DoorRequest>(door).more_prompts.size() ==
          std::get<CompletionRequest>(result).prompts.size());
  }
  const ApiResult<DoorRequest> inference = ParseInference(body, "m");
  if (const auto* error = std::get_if<quire::http::ApiError>(&inference)) CheckRefusal(*error);
  for (const auto parse : {ParseTokenize, ParseDetokenize, ParseApplyTemplate}) CheckQuestion(parse(body));
  return 0;
}
