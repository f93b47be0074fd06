#include "kernels/cpu/rope_table.h"

#include <algorithm>

#include "base/core/status.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/rope_values.h"

namespace quire::kernels::cpu {
namespace {

// Positions that a thread takes at once: some 10,000 sines and cosines.
constexpr int64_t kTogether = 128;

}  // namespace

absl::StatusOr<RopeTable> RopeTable::Create(std::span<const double> inv_freq, double scale, int64_t positions,
                                            Arena& arena, ThreadPool& pool) {
  const int64_t half = std::ssize(inv_freq);
  QUIRE_ASSIGN_OR_RETURN(float* data, arena.AllocateArray<float>(positions * half * 2));
  const FlushDenormals flush;  // as the pool's threads have it: an entry's bits are those of any thread
  pool.ForEach((positions + kTogether - 1) / kTogether, [&](int64_t block) {
    const int64_t first = block * kTogether, last = std::min(positions, first + kTogether);
    for (int64_t position = first; position < last; ++position) {
      FillRopeValues(inv_freq, scale, position, data + position * 2 * half);
    }
  });
  return RopeTable(data, half, positions);
}

}  // namespace quire::kernels::cpu
