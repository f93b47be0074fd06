// One message of a conversation, as the API's parser leaves it and TextModel::RenderChat takes it. Plain
// data.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace quire::gateway {

struct ToolCall {
  std::string id;
  std::string name;
  nlohmann::ordered_json arguments;  // an object
  std::string place = {};            // where the client says it: "messages.2.tool_calls.0"
};

struct ChatTurn {
  std::string role;  // system, user, assistant or tool
  std::string content;
  std::string reasoning = {};             // of an assistant's last turn, which is to be continued
  std::vector<ToolCall> tool_calls = {};  // of an assistant; not of one that is to be continued
  std::string tool_call_id = {};          // of a tool: which call this is the result of,
  std::string name = {};                  // and the name of the tool
};

}  // namespace quire::gateway
