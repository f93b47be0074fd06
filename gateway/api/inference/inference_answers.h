// What the hosted original's own form is answered, whole, streamed and to a webhook, as JSON Schema: what
// inference_writers.cc writes. Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddInferenceAnswers(nlohmann::ordered_json& schemas);

// The webhook, as OpenAPI's callbacks of an operation.
nlohmann::ordered_json InferenceCallbacks();

}  // namespace quire::gateway
