// cos and sin of position * inv_freq for all positions (rope_values.h). Immutable after Create; read by any
// compute thread.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/thread_pool.h"

namespace quire::kernels::cpu {

class RopeTable {
 public:
  // The arguments have passed CheckRope. Computed on the pool, each entry by itself: a long context has
  // millions.
  static absl::StatusOr<RopeTable> Create(std::span<const double> inv_freq, double scale, int64_t positions,
                                          Arena& arena, ThreadPool& pool);
  int64_t positions() const { return positions_; }
  int64_t half() const { return half_; }
  // [half] each, times the scale.
  const float* cosine(int64_t position) const { return data_ + position * 2 * half_; }
  const float* sine(int64_t position) const { return cosine(position) + half_; }

 private:
  RopeTable(float* data, int64_t half, int64_t positions) : data_(data), half_(half), positions_(positions) {}

  float* data_;  // [positions][2][half]
  int64_t half_, positions_;
};

}  // namespace quire::kernels::cpu
