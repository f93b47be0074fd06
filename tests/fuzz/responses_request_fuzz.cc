// Any bytes as the body of a Responses request: it parses or is refused with a sentence, and what parses is
// in bounds and a conversation whose calls and outputs fit together.
#include <cstdlib>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "gateway/api/responses/responses_request.h"
#include "gateway/text/stop_matcher.h"

namespace {

using namespace quire::gateway;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckTurns(const std::vector<ChatTurn>& turns) {
  std::set<std::string> open;  // calls without an output
  for (const ChatTurn& turn : turns) {
    Check(turn.role == "tool" ? open.erase(turn.tool_call_id) == 1 : open.empty());
    for (const ToolCall& call : turn.tool_calls) {
      Check(turn.role == "assistant" && call.arguments.is_object() && !call.name.empty());
      Check(open.insert(call.id).second);
    }
  }
  Check(open.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto result = ParseResponsesRequest({reinterpret_cast<const char*>(data), size});
  if (const auto* error = std::get_if<quire::http::ApiError>(&result)) {
    Check(!error->message.empty());
    Check(error->status == 400 || (error->status == 422 && !error->param.empty()));
    return 0;
  }
  const auto& request = std::get<ResponsesRequest>(result);
  Check(!request.sampling.model.empty() && !request.prompt.turns.empty());
  Check(request.sampling.stop.size() <= kMaxStops && request.sampling.top_logprobs <= 20);
  Check(nlohmann::json::accept(request.echo) && request.echo.find('\n') == std::string::npos);
  const ToolRules& rules = request.prompt.tools;
  Check(rules.use != ToolUse::kRequired || !rules.tools.empty());
  CheckTurns(request.prompt.turns);
  return 0;
}
