// What a Responses request is answered, whole and streamed, as JSON Schema: what responses_whole_writer.cc
// and responses_stream_writer.cc write. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddResponsesAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
