#include "worker/engine/emitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace quire::worker {
namespace {

std::vector<Update> Batch(int64_t number, size_t updates = 1) {
  std::vector<Update> batch(updates);
  for (Update& update : batch) update.first_position = number;
  return batch;
}

TEST(Emitter, HandsOnEachBatchOnceInOrderAndAllBeforeItStops) {
  std::vector<int64_t> seen;
  Emitter emitter([&](const std::vector<Update>& updates) {
    EXPECT_EQ(updates.size(), 2u);
    seen.push_back(updates[0].first_position);
  });
  std::vector<int64_t> posted(500);
  std::iota(posted.begin(), posted.end(), 0);
  for (const int64_t number : posted) emitter.Post(Batch(number, 2));
  emitter.Stop();
  EXPECT_EQ(seen, posted);
}

// Where nobody takes anything, the engine waits in the end: nothing here grows without a bound.
TEST(Emitter, HoldsNoMoreThanItsBound) {
  Notification go, full, all_posted;
  std::atomic<size_t> posted{0}, taken{0};
  Emitter emitter([&](const std::vector<Update>&) {
    go.WaitForNotification();
    // What waits, what was taken over at once, and what is being posted.
    EXPECT_LE(posted - taken++, 2 * Emitter::kMaxWaiting + 1);
  });
  constexpr size_t kBatches = 5 * Emitter::kMaxWaiting;
  std::thread engine([&] {
    for (size_t i = 0; i < kBatches; ++i) {
      if (++posted == Emitter::kMaxWaiting) full.Notify();
      emitter.Post(Batch(0));
    }
    all_posted.Notify();
  });
  full.WaitForNotification();
  // Never comes; without a bound it would, much sooner.
  EXPECT_FALSE(all_posted.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  go.Notify();
  engine.join();
  emitter.Stop();
  EXPECT_EQ(taken, kBatches);
}

TEST(Emitter, WhatWasPostedFirstIsHandedOnWhileTheEngineGoesOn) {
  Notification first;
  Emitter emitter([&](const std::vector<Update>& updates) {
    if (updates[0].first_position == 0) first.Notify();
  });
  emitter.Post(Batch(0));
  first.WaitForNotification();  // no further one, and no Stop, is needed for it
  emitter.Post(Batch(1));
}

}  // namespace
}  // namespace quire::worker
