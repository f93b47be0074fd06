#include "base/core/on_threads.h"

#include <gtest/gtest.h>

#include <latch>
#include <vector>

namespace quire {
namespace {

TEST(OnThreadsTest, EveryPieceIsDoneOnce) {
  for (const int threads : {0, 1, 2, 7}) {
    for (const int64_t count : {0, 1, 3, 1000}) {
      std::vector<int> calls(count);  // plain ints: under TSan they prove that the caller waits for all
      ForEachOnThreads(threads, count, [&](int64_t i) { ++calls[i]; });
      EXPECT_EQ(calls, std::vector<int>(count, 1)) << threads << " threads";
    }
  }
}

TEST(OnThreadsTest, AsManyPiecesAsThreadsAreUnderWayAtOnce) {
  std::latch all(3);
  ForEachOnThreads(3, 3, [&](int64_t) { all.arrive_and_wait(); });  // else it would never end
}

}  // namespace
}  // namespace quire
