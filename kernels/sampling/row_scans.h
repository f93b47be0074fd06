// What the sampler does to whole rows, behind plain function pointers: one table here for any CPU, one of
// each instruction set in kernels/cpu. All give the same bits, given that denormals are flushed or none
// comes up: a run's sum is of 16 lanes first, then of halves of lanes. Only plain data here, since this
// crosses into files compiled for newer CPUs (kernels/cpu/kernel_table.h). Scans are pure but for their
// outputs; any thread calls them.
#pragma once

#include <cstdint>

namespace quire::kernels {

// A row's ids are taken in runs: [0, 64), [64, 128), ..., of which the last may be shorter.
inline constexpr int64_t kRunIds = 64;

struct WeighArgs {
  const float* logits;  // [ids]
  int64_t ids;
  const int32_t* runs;  // [count], which ones
  int64_t count;
  float top, scale;
  float* weights;  // [count][64], or null: the sums alone
  float* sums;     // [count]
};

struct RowScans {
  // maxima[i] = the largest of run i, or anything where one is NaN. Returns 0 where every value is finite,
  // else NaN.
  float (*maxima)(const float* values, int64_t ids, float* maxima);
  // A weight is e^((logit - top) * scale), zero behind the last id, a sum that of a run's weights.
  void (*weigh)(const WeighArgs& args);
  // sums[i] = of those in weights [i][64] that are at least `bound`.
  void (*sum)(const float* weights, int64_t count, float bound, float* sums);
  // out[i] = values[i], or -inf where bit i % 32 of words[i / 32] is 0.
  void (*mask)(const float* values, const uint32_t* words, int64_t count, float* out);
  // Where in `values` those stand that are at least `bound`, ascending, into `found`. Returns how many.
  int64_t (*find)(const float* values, int64_t count, float bound, int32_t* found);
};

const RowScans& PortableScans();

}  // namespace quire::kernels
