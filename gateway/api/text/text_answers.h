// What text doors answer, as JSON Schema: what text_doors.cc writes.
// Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

namespace quire::gateway {

void AddTextAnswers(nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
