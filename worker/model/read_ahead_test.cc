#include "worker/model/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

class ReadAheadTest : public testing::Test {
 protected:
  ReadList List() const {
    return {checkpoint_.files->tensors(),
            PlanWeights(checkpoint_.config, *MakeShard(checkpoint_.config, 0, 1)),
            /*whole_rows=*/false};
  }
  int64_t total() const { return List().read_bytes(List().items()); }

  // Matrices of up to 192 KB: several pieces each.
  const TestCheckpoint folder_{"BF16", {.ffn = 4'000}};
  const Checkpoint checkpoint_ = *folder_.Open();
};

TEST_F(ReadAheadTest, AsksForWhatIsNextAndForNoMoreThanTheWindow) {
  for (const int64_t window : {0, 100'000}) {
    std::atomic<int64_t> asked = 0;
    ReadAhead ahead(List(), window, [&](ReadAhead::Bytes bytes) { asked += std::ssize(bytes); });
    const ReadList list = List();
    for (int64_t items = 0; items <= list.items(); ++items) {
      ahead.OnLoaded(items);
      const int64_t next_end = list.read_bytes(std::min(items + 1, list.items()));
      EXPECT_GE(asked, next_end);
      EXPECT_LT(asked, next_end + window + (window > 0 ? 31 * 4096 : 1)) << "one piece may begin in it";
    }
    EXPECT_EQ(asked, total());
  }
}

// A disk whose queue is full lets nobody go on who asks it for more.
TEST_F(ReadAheadTest, LoadingWaitsForWhatIsNextOnly) {
  const int64_t first_end = List().read_bytes(1);
  Notification room;
  int64_t asked = 0;  // the thread's, until it has ended
  {
    ReadAhead ahead(List(), /*window_bytes=*/1 << 30, [&](ReadAhead::Bytes bytes) {
      if (asked >= first_end) room.WaitForNotification();
      asked += std::ssize(bytes);
    });
    ahead.OnLoaded(0);
    room.Notify();
    ahead.OnLoaded(List().items());
  }
  EXPECT_EQ(asked, total());
}

TEST_F(ReadAheadTest, EndsWithoutTheRestWhereLoadingFails) {
  std::atomic<int64_t> asked = 0;
  {
    ReadAhead ahead(List(), /*window_bytes=*/0, [&](ReadAhead::Bytes bytes) { asked += std::ssize(bytes); });
    ahead.OnLoaded(3);
  }
  EXPECT_EQ(asked, List().read_bytes(4));
  const ReadAhead unused(List(), /*window_bytes=*/0, ReadAhead::AdviseKernel);
}

// Advice about memory that isn't a file's changes nothing.
TEST_F(ReadAheadTest, TheKernelTakesAnyPiece) {
  std::vector<uint8_t> memory(100'000, 7);
  ReadAhead::AdviseKernel(std::span<const uint8_t>(memory).subspan(4'097, 50'000));
  ReadAhead::AdviseKernel({});
  EXPECT_EQ(memory, std::vector<uint8_t>(100'000, 7));
}

}  // namespace
}  // namespace quire::worker
