// What the hosted original's own form is answered, whole and streamed, as JSON Schema: what
// inference_writers.cc writes. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddInferenceAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
