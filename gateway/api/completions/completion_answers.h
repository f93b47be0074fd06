// What a completion is answered, whole and streamed, as JSON Schema: what completion_whole_writer.cc and
// completion_stream_writer.cc write. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddCompletionAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
