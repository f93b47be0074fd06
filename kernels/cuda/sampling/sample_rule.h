// What a row is sampled by on the device, and what comes of it: plain data that crosses between host and
// device, without pointers. Plain C++.
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

inline constexpr int kMostTopLogprobs = 20;

struct SampleRule {
  float scale = 1;   // 1 / temperature; 0: greedy
  int top_k = 0;     // 0: off
  float top_p = 1;   // 1: off
  float min_p = 0;   // 0: off
  double noise = 0;  // uniform in [0, 1), from (seed, choice, position)
  int adjusted = 0;  // 1: AdjustRows made another row of the logits, which is sampled from
  int logprobs = 0;  // 1: of the id
  int scored = -1;   // not -1: the id that is taken, whose logprob is asked for; the others choose nothing
  int top_logprobs = 0;  // of so many of the likeliest ids, kMostTopLogprobs at most; only with logprobs
};

struct SampledRow {
  int id;         // -1: the logits are not finite, or nothing is left to choose from
  float logprob;  // of the raw logits, as all here; 0 where none was asked for
  int top_count;
  int top_ids[kMostTopLogprobs];  // likeliest first
  float top_logprobs[kMostTopLogprobs];
};

}  // namespace quire::kernels::cuda
