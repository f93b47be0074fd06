// Any bytes as the body of a Messages request: it parses or is refused with a sentence, and what parses is in
// bounds and a conversation whose calls and results fit together.
#include <cstdlib>
#include <set>
#include <string>

#include "gateway/api/messages/messages_request.h"
#include "gateway/text/stop_matcher.h"

namespace {

using namespace quire::gateway;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckTurns(const std::vector<ChatTurn>& turns) {
  std::set<std::string> open;  // calls without a result
  for (const ChatTurn& turn : turns) {
    const bool is_last = &turn == &turns.back();
    Check(turn.role == "tool" ? open.erase(turn.tool_call_id) == 1 && !turn.name.empty() : open.empty());
    Check(turn.role == "tool" || turn.role == "system" || turn.role == "user" || turn.role == "assistant");
    Check(turn.reasoning.empty() || (turn.role == "assistant" && is_last));
    for (const ToolCall& call : turn.tool_calls) {
      Check(turn.role == "assistant" && !is_last && call.arguments.is_object() && !call.name.empty());
      Check(open.insert(call.id).second);
    }
  }
  Check(open.empty());
}

void CheckTools(const ToolRules& rules) {
  std::set<std::string> names;
  for (const Tool& tool : rules.tools) {
    Check(names.insert(tool.name).second && tool.parameters.is_object());
    Check(tool.declaration["function"]["name"] == tool.name);
  }
  Check(rules.only.empty() || (names.contains(rules.only) && rules.use == ToolUse::kRequired));
  Check(rules.use != ToolUse::kRequired || !rules.tools.empty());
}

void CheckBody(std::string_view body, MessagesUse use) {
  const auto result = ParseMessagesRequest(body, use);
  if (const auto* error = std::get_if<quire::http::ApiError>(&result)) {
    Check(!error->message.empty());
    return Check(error->status == 400 || (error->status == 422 && !error->param.empty()));
  }
  const auto& request = std::get<MessagesRequest>(result);
  Check(!request.sampling.model.empty() && !request.prompt.turns.empty());
  Check(request.sampling.stop.size() <= kMaxStops && request.sampling.choices == 1);
  Check(use == MessagesUse::kCount || request.sampling.max_tokens);
  if (request.sampling.max_tokens) {
    Check(*request.sampling.max_tokens >= 1 && *request.sampling.max_tokens <= 1'000'000);
    Check(request.sampling.think_budget.value_or(0) < *request.sampling.max_tokens);
  }
  CheckTurns(request.prompt.turns);
  CheckTools(request.prompt.tools);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CheckBody(body, MessagesUse::kAnswer);
  CheckBody(body, MessagesUse::kCount);
  return 0;
}
