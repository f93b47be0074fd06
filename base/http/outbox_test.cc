#include "base/http/outbox.h"

#include <gtest/gtest.h>

namespace quire::http {
namespace {

// Writes everything, `step` bytes at a time.
std::string WriteAll(Outbox& outbox, size_t step) {
  std::string written;
  while (!outbox.empty()) {
    const std::string_view front = outbox.Front().substr(0, step);
    written += front;
    outbox.Consume(front.size());
  }
  return written;
}

class OutboxTest : public ::testing::Test {
 protected:
  HttpLimits limits_;
  Outbox outbox_{limits_};
};

TEST_F(OutboxTest, FramesThatAreReadyTogetherAreOneChunk) {
  outbox_.StartFrames(true);
  outbox_.AppendFrame("data: a\n\n", 1);
  outbox_.AppendFrame("data: bc\n\n", 2);
  EXPECT_EQ(WriteAll(outbox_, 1000), "13\r\ndata: a\n\ndata: bc\n\n\r\n");
  outbox_.AppendFrame("data: d\n\n", 1);
  outbox_.EndFrames();
  EXPECT_EQ(WriteAll(outbox_, 1), "9\r\ndata: d\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(outbox_.delivered_units(), 4u);
}

TEST_F(OutboxTest, AHeadAndTheFirstFramesAreOneWrite) {
  outbox_.AppendRaw("HEAD\r\n\r\n");
  outbox_.StartFrames(true);
  outbox_.AppendFrame("data: a\n\n", 7);
  outbox_.EndFrames();
  EXPECT_EQ(outbox_.Front(), "HEAD\r\n\r\n9\r\ndata: a\n\n\r\n0\r\n\r\n");
  outbox_.Consume(8 + 3 + 8);  // all but the frame's last byte
  EXPECT_EQ(outbox_.delivered_units(), 0u);
  outbox_.Consume(1);
  EXPECT_EQ(outbox_.delivered_units(), 7u);
}

TEST_F(OutboxTest, WithoutChunksFramesArePlainBytes) {
  outbox_.StartFrames(false);
  outbox_.AppendFrame("data: a\n\n", 1);
  outbox_.EndFrames();
  EXPECT_EQ(WriteAll(outbox_, 3), "data: a\n\n");
  EXPECT_EQ(outbox_.delivered_units(), 1u);
}

TEST_F(OutboxTest, FramesAppendedWhileABatchIsHalfWrittenFollowIt) {
  outbox_.StartFrames(true);
  outbox_.AppendFrame("aaaa", 1);
  EXPECT_EQ(outbox_.Front(), "4\r\naaaa\r\n");
  outbox_.Consume(4);
  outbox_.AppendFrame("bb", 1);
  outbox_.AppendFrame("cc", 1);
  EXPECT_EQ(WriteAll(outbox_, 2), "aaa\r\n4\r\nbbcc\r\n");
  EXPECT_EQ(outbox_.delivered_units(), 3u);
}

TEST_F(OutboxTest, TheBoundsCountWhatIsHalfWritten) {
  limits_.queued_frames = 3;
  limits_.queued_bytes = 100;
  outbox_.StartFrames(true);
  outbox_.AppendFrame("a", 1);
  outbox_.Front();
  outbox_.AppendFrame("b", 1);
  EXPECT_FALSE(outbox_.over_bounds());
  outbox_.AppendFrame("c", 1);
  EXPECT_TRUE(outbox_.over_bounds());
  WriteAll(outbox_, 1000);
  EXPECT_FALSE(outbox_.over_bounds());
  outbox_.AppendFrame(std::string(100, 'x'), 1);
  EXPECT_TRUE(outbox_.over_bounds());
}

}  // namespace
}  // namespace quire::http
