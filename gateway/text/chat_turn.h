// One message of a conversation, as the API's parser leaves it and TextModel::RenderChat takes it. Plain
// data.
#pragma once

#include <string>

namespace quire::gateway {

struct ChatTurn {
  std::string role;  // system, user or assistant
  std::string content;
  std::string reasoning = {};  // of an assistant's last turn, which is to be continued
};

}  // namespace quire::gateway
