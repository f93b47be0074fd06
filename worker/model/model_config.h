// A checkpoint's config.json, checked field by field: what shape the model has. The architectures of
// architecture.h; anything that this program would compute wrongly (another architecture, quantization, a
// sliding window in use, an unknown RoPE scaling) is refused with a message that names the field. Plain data,
// read once at start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "worker/model/architecture.h"

namespace quire::worker {

// How positions become rotations; see rope.h.
struct RopeScaling {
  enum class Kind { kPlain, kLlama3, kYarn };
  Kind kind = Kind::kPlain;
  double factor = 1.0;
  int64_t original_max_positions = 0;
  // YaRN
  double beta_fast = 32.0, beta_slow = 1.0;
  double attention_factor = 1.0;
  bool truncate = true;
  // Llama 3
  double low_freq_factor = 1.0, high_freq_factor = 4.0;
};

struct ModelConfig {
  Architecture architecture;
  int64_t vocab = 0, hidden = 0, layers = 0, ffn = 0;
  int64_t query_heads = 0, kv_heads = 0, head_dim = 0;
  double rms_eps = 0.0;
  bool tied_embeddings = false;
  double rope_theta = 0.0;
  // The RoPE of ordinary requests (plain, or what config.json says) and how far it reaches.
  RopeScaling rope;
  int64_t plain_context = 0;
  // YaRN from --rope-scaling, for requests that need more; max_context is its reach.
  std::optional<RopeScaling> scaled_rope;
  int64_t max_context = 0;  // = plain_context without scaled_rope
  // --weights: what matrices are kept as, where they can be (weight_plan.h); not config.json's.
  kernels::MatrixFormat weights = kernels::MatrixFormat::kBf16;
};

// `rope_scaling` is the flag's value: "" (as config.json says) or "yarn:FACTOR:ORIGINAL", for example
// "yarn:4:32768".
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json, std::string_view rope_scaling);

}  // namespace quire::worker
