// Calls of tools in a conversation, and their results: "tool_calls" of an assistant's message, "tool_call_id"
// of a tool's. Pure; part of ReadTurns. Always: each call has one result, in the messages right behind it.
#pragma once

#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "gateway/api/field_reader.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

class TurnCalls {
 public:
  explicit TurnCalls(std::optional<http::ApiError>& error) : error_(error) {}

  // Of a message whose role and place are known; once for each message, in order.
  void Read(FieldReader& message, bool is_last, ChatTurn& turn);
  // Behind the last message.
  void End();

 private:
  ToolCall ReadCall(FieldReader& fields);
  nlohmann::ordered_json ReadArguments(FieldReader& function);
  void ReadResult(FieldReader& message, ChatTurn& turn);

  std::optional<http::ApiError>& error_;
  // Of the last message with calls, those without a result: their names and places, by id.
  struct Open {
    std::string name, path;
  };
  absl::flat_hash_map<std::string, Open> open_;
  size_t argument_bytes_ = 0;  // of the whole conversation
};

}  // namespace quire::gateway
