// What OpenAI clients send and chat templates cannot take, made plain before rendering: content null -> "",
// content as an array of text parts -> their text joined, tool-call arguments as a string -> the object, role
// developer -> system. A pure function, any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace quire::gateway {

// INVALID_ARGUMENT names the field (messages.2.content.0.type).
absl::StatusOr<nlohmann::ordered_json> NormalizeMessages(const nlohmann::ordered_json& messages);

}  // namespace quire::gateway
