// Any bytes as the body of a chat request: it parses or is refused with a sentence, and what parses is in
// bounds; a refused field is named by a path, and the refusal is one line of valid JSON.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "gateway/api/chat/chat_request.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckRefusal(const quire::http::ApiError& error) {
  Check(!error.message.empty());
  Check(error.status == 400 || (error.status == 422 && !error.param.empty()));
  const std::string body = quire::http::ErrorBody(error);
  const auto parsed = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  Check(parsed.is_object() && parsed["error"]["message"].is_string());
  for (const char* line_break : {"\n", "\r", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    Check(body.find(line_break) == std::string::npos);
  }
}

void CheckTools(const quire::gateway::ToolRules& rules) {
  using namespace quire::gateway;
  bool found = rules.only.empty();
  for (const Tool& tool : rules.tools) {
    Check(IsToolName(tool.name) && tool.parameters.is_object());
    Check(tool.declaration["function"]["name"] == tool.name);
    found = found || tool.name == rules.only;
  }
  Check(found && rules.tools.size() <= kMaxTools);
  Check(!rules.tools.empty() || rules.use != ToolUse::kRequired);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  auto result = ParseChatRequest({reinterpret_cast<const char*>(data), size});
  if (const auto* error = std::get_if<quire::http::ApiError>(&result)) {
    CheckRefusal(*error);
    return 0;
  }
  const auto& request = std::get<ChatRequest>(result);
  Check(!request.sampling.model.empty() && !request.prompt.turns.empty() &&
        request.sampling.stop.size() <= 16);
  for (const ChatTurn& turn : request.prompt.turns) {
    Check(turn.role == "system" || turn.role == "user" || turn.role == "assistant" || turn.role == "tool");
    Check(turn.tool_calls.empty() || (turn.role == "assistant" && &turn != &request.prompt.turns.back()));
    for (const ToolCall& call : turn.tool_calls) Check(IsToolName(call.name) && call.arguments.is_object());
    Check((turn.role == "tool") == !turn.tool_call_id.empty());
    Check(turn.reasoning.empty() || (turn.role == "assistant" && &turn == &request.prompt.turns.back()));
  }
  CheckTools(request.prompt.tools);
  Check(!request.exclude_reasoning || request.separate_reasoning);
  Check(!request.sampling.max_tokens ||
        (*request.sampling.max_tokens >= 1 && *request.sampling.max_tokens <= 1'000'000));
  Check(request.sampling.min_tokens >= 0 && request.sampling.min_tokens <= 1'000'000);
  Check(!request.sampling.top_p || (*request.sampling.top_p >= 0 && *request.sampling.top_p <= 1));
  Check(!request.sampling.top_k || (*request.sampling.top_k >= 0 && *request.sampling.top_k <= 999));
  for (const int32_t id : request.sampling.stop_token_ids) Check(id >= 0);
  Check(request.sampling.choices >= 1 && request.sampling.choices <= 4 &&
        request.sampling.top_logprobs <= 20);
  CheckTokenIds(request.sampling, 100);
  return 0;
}
