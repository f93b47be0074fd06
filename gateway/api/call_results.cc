#include "gateway/api/call_results.h"

#include <utility>

namespace quire::gateway {

bool CallResults::Open(const ToolCall& call) {
  if (!by_id_.emplace(call.id, calls_.size()).second) return false;
  calls_.push_back({.id = call.id, .name = call.name, .result = {}});
  return true;
}

bool CallResults::Take(const std::string& id, std::string text) {
  Call& call = calls_[by_id_.at(id)];
  if (std::exchange(call.taken, true)) return false;
  call.result = std::move(text);
  ++taken_;
  return true;
}

bool CallResults::Close(std::vector<ChatTurn>& turns) {
  const bool any = !calls_.empty();
  for (Call& call : calls_) {
    turns.push_back({.role = "tool",
                     .content = std::move(call.result),
                     .tool_call_id = std::move(call.id),
                     .name = std::move(call.name)});
  }
  *this = {};
  return any;
}

}  // namespace quire::gateway
