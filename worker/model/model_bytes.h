// What a model takes of a host's memory: the sum of what the ranks of a group that run there allocate. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "worker/model/model_config.h"
#include "worker/model/safetensors.h"

namespace quire::worker {

struct ModelBytes {
  int64_t weights = 0;                // and the rotary tables, of the whole context
  int64_t kv_block = 0;               // of 16 tokens
  int64_t token = 0, wanted_row = 0;  // of the decoder's scratch memory (ScratchBytes), and of a row's number
  int64_t input_token = 0;            // of a step's inputs
  int64_t sequence = 0;               // of a slot, and of its block tables
  int64_t counts = 0;                 // of what penalties count of a request, also while it waits
};

// Of all `ranks` of a group, or of `only` that one. Fails as MakeShard does.
absl::StatusOr<ModelBytes> CountModelBytes(const ModelConfig& config, int ranks,
                                           std::optional<int> only = std::nullopt);

// What those ranks hold beside their weights while they load (LoadBytes).
absl::StatusOr<int64_t> CountLoadBytes(const Safetensors& files, const ModelConfig& config, int ranks,
                                       std::optional<int> only = std::nullopt);

}  // namespace quire::worker
