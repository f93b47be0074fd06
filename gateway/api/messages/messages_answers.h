// What Messages are answered, whole and streamed, as JSON Schema: what messages_whole_writer.cc and
// messages_stream_writer.cc write. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddMessagesAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
