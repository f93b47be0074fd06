// How many ids a checkpoint's tokenizer knows. The model's vocabulary is often padded beyond it, and the ids
// there must never be sampled. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire::worker {

// One more than the highest id of tokenizer.json, added tokens included.
absl::StatusOr<int64_t> TokenizerSize(std::string_view tokenizer_json);

}  // namespace quire::worker
