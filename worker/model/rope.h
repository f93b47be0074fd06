// The rotation frequencies of a RoPE variant, by transformers' formulas, in double: plain, Llama 3's and YaRN
// with its attention factor; from our own arithmetic (fixed_math.h), so that every machine has the same bits.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "worker/model/model_config.h"

namespace quire::worker {

struct RotaryFrequencies {
  std::vector<double> inv_freq;  // [head_dim / 2]
  double scale = 1.0;            // multiplies cos and sin
};

RotaryFrequencies MakeRotaryFrequencies(const RopeScaling& scaling, double theta, int64_t head_dim);

// A short name that differs whenever the frequencies do ("plain", "yarn:4:32768"): a part of numerics_id.
std::string RopeName(const RopeScaling& scaling);

}  // namespace quire::worker
