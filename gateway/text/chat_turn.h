// One message of a conversation, as the API's parser leaves it and TextModel::RenderChat takes it. Plain
// data.
#pragma once

#include <string>

namespace quire::gateway {

struct ChatTurn {
  std::string role;  // system, user or assistant
  std::string content;
};

}  // namespace quire::gateway
