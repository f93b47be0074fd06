#include "worker/parallel/rank_sum.h"

#include <algorithm>

namespace quire::worker {
namespace {

// Of the ranks [first, first + kRanks), kRanks a power of two.
template <int kRanks>
float TreeSum(std::span<const float* const> parts, int first, int64_t i) {
  if constexpr (kRanks == 1) {
    return parts[first][i];
  } else {
    return TreeSum<kRanks / 2>(parts, first, i) + TreeSum<kRanks / 2>(parts, first + kRanks / 2, i);
  }
}

template <int kRanks>
void SumByTree(std::span<const float* const> parts, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = TreeSum<kRanks>(parts, 0, i);
}

}  // namespace

void SumRanks(std::span<const float* const> parts, int64_t count, float* out) {
  if (parts.size() == 4) return SumByTree<4>(parts, count, out);
  if (parts.size() == 8) return SumByTree<8>(parts, count, out);
  std::copy_n(parts[0], count, out);
  for (size_t r = 1; r < parts.size(); ++r) {
    for (int64_t i = 0; i < count; ++i) out[i] += parts[r][i];
  }
}

}  // namespace quire::worker
