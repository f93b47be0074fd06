// Parsing of JSON files that come from outside (a checkpoint, a text bundle): bounded in bytes and depth
// before anything is built, and without exceptions. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire {

inline constexpr size_t kMaxJsonFileBytes = 64 << 20;
inline constexpr int kMaxJsonFileDepth = 64;

// What one of our own files holds; is_discarded() where it is no JSON, or has a NUL, which the parser would
// take for its end.
nlohmann::json ParseJsonText(std::string_view text);

// INVALID_ARGUMENT names the file and what is wrong with it. Keys are sorted, so look-ups are fast.
absl::StatusOr<nlohmann::json> ParseJsonFile(std::string_view text, std::string_view file_name);

// The member, or null if `object` lacks it or is no object.
const nlohmann::json& JsonMember(const nlohmann::json& object, std::string_view key);
// The string, or "" if the value is none.
std::string JsonString(const nlohmann::json& value);

// The deepest nesting of arrays and objects, from the brackets alone: a bound that holds for any input.
int JsonDepth(std::string_view text);

}  // namespace quire
