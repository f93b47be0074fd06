// What is said of models, as JSON Schema: what models_handler.cc and model_status_handler.cc write.
// Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddModelsAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
