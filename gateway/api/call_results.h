// The calls of tools of one answer in a conversation, and their results, which a client gives in any order:
// templates don't name a call in its result, so the results' turns come in the order of the calls. For doors
// whose results are no messages of their own. Pure; part of a parse.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

class CallResults {
 public:
  // False: another call has this id.
  bool Open(const ToolCall& call);
  bool Knows(const std::string& id) const { return by_id_.contains(id); }
  // Of a known call. False: its result was given before.
  bool Take(const std::string& id, std::string text);

  bool begun() const { return taken_ > 0; }
  bool complete() const { return taken_ == calls_.size(); }
  // The results as turns; from then on there are no calls. False: there were none.
  bool Close(std::vector<ChatTurn>& turns);

 private:
  struct Call {
    std::string id, name, result;
    bool taken = false;
  };

  std::vector<Call> calls_;
  absl::flat_hash_map<std::string, size_t> by_id_;
  size_t taken_ = 0;
};

}  // namespace quire::gateway
