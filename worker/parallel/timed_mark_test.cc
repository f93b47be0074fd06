#include "worker/parallel/timed_mark.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

namespace quire::worker {
namespace {

TEST(TimedMark, IsInNoneUntilItBeginsAndAfterItEnds) {
  const auto mark = std::make_unique<TimedMark>();  // zero, as shared memory is
  EXPECT_EQ(mark->Read().step, 0u);
  mark->Begin(1, 7'000);
  const uint64_t first = mark->Read().step;
  EXPECT_NE(first, 0u);
  EXPECT_EQ(mark->Read().limit_us, 7'000);
  mark->Begin(2, 7'000);
  EXPECT_NE(mark->Read().step, first);
  mark->End();
  EXPECT_EQ(mark->Read().step, 0u);
}

TEST(TimedMark, NoLimitIsTooSmallOrTooLarge) {
  const auto mark = std::make_unique<TimedMark>();
  for (const int64_t tiny : {int64_t{-5}, int64_t{0}, int64_t{1}, int64_t{1000}}) {
    mark->Begin(1, tiny);
    EXPECT_EQ(mark->Read().limit_us, 1'000);
  }
  mark->Begin(1, INT64_MAX - 999);
  EXPECT_GT(mark->Read().limit_us, int64_t{1'000'000'000'000'000});
}

// Of two steps one may take long and one may not: no reader sees the long one with the short one's limit.
TEST(TimedMark, AStepIsNeverSeenWithTheLimitOfAnother) {
  constexpr int64_t kShortUs = 1'000, kLongUs = 1'000'000'000;
  const auto mark = std::make_unique<TimedMark>();
  const auto limit_of = [](uint64_t number) { return number % 2 == 0 ? kShortUs : kLongUs; };
  mark->Begin(0, limit_of(0));
  const uint64_t first = mark->Read().step;
  std::atomic<bool> enough{false};
  std::thread writer([&] {
    for (uint64_t number = 1; !enough; ++number) mark->Begin(number, limit_of(number));
  });
  uint64_t last = first;
  bool torn = false;
  for (int changes = 0; changes < 1'000 && !torn;) {
    const TimedMark::Seen seen = mark->Read();
    changes += std::exchange(last, seen.step) != seen.step;
    torn = seen.limit_us != limit_of(seen.step - first);
  }
  enough = true;
  writer.join();
  EXPECT_FALSE(torn);
}

}  // namespace
}  // namespace quire::worker
