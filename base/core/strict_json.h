// Reads JSON that a stranger sent. Refused before anything is built from it: a byte-order mark, trailing
// bytes, nesting deeper than 64, a key given twice in one object (unless the caller lets the last one count),
// numbers that are not finite, lone surrogates, bytes that are not UTF-8, more than a million values. Keys
// keep their order: a schema's is what its answers have. Pure: any thread, no recursion, no exceptions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire {

inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonValues = 1'000'000;

enum class RepeatedKey { kRefused, kLastCounts };

// InvalidArgument says what is wrong and at which byte.
absl::StatusOr<nlohmann::ordered_json> ParseStrictJson(std::string_view text,
                                                       RepeatedKey repeated = RepeatedKey::kRefused);

}  // namespace quire
