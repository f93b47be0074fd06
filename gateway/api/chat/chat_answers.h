// What a chat is answered, whole and streamed, as JSON Schema: what chat_whole_writer.cc and
// chat_stream_writer.cc write. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddChatAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
