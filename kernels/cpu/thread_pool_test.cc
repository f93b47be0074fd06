#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <numeric>

namespace quire::kernels::cpu {
namespace {

struct PoolCase {
  int threads, spin_us;
};

class ThreadPoolTest : public testing::TestWithParam<PoolCase> {
 protected:
  ThreadPool pool_{GetParam().threads, GetParam().spin_us};
};

TEST_P(ThreadPoolTest, EveryThreadRunsEachTaskOnceAndRunWaits) {
  // Plain ints on purpose: under TSan they prove that Run orders memory.
  std::vector<int> calls(GetParam().threads);
  for (int round = 1; round <= 2000; ++round) {
    pool_.Run([&](int t) { ++calls[t]; });
    ASSERT_EQ(std::accumulate(calls.begin(), calls.end(), 0), round * GetParam().threads);
  }
}

TEST_P(ThreadPoolTest, ForEachCoversEveryIndexOnce) {
  for (const int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<int> seen(count);
    pool_.ForEach(count, [&](int64_t i) { ++seen[i]; });
    EXPECT_EQ(seen, std::vector<int>(count, 1));
  }
}

TEST_P(ThreadPoolTest, OtherThreadsFlushDenormals) {
  std::vector<unsigned> modes(GetParam().threads);
  pool_.Run([&](int t) { modes[t] = _mm_getcsr(); });
  for (int t = 1; t < GetParam().threads; ++t) EXPECT_EQ(modes[t] & 0x8040u, 0x8040u);
}

INSTANTIATE_TEST_SUITE_P(All, ThreadPoolTest,
                         testing::Values(PoolCase{1, 0}, PoolCase{2, 0}, PoolCase{2, 20}, PoolCase{3, 0},
                                         PoolCase{4, 5}));

}  // namespace
}  // namespace quire::kernels::cpu
