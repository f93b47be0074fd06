// Rows of any shape arrive as they are, whatever the buffers cut; a buffer is read into while the copy of the
// other runs, and never while its own does: fibers say so of one that is.
#include "kernels/cuda/backend/weight_stream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace quire::kernels::cuda {
namespace {

std::vector<std::byte> Bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

struct Shape {
  size_t rows, row_bytes, stride;
};

class WeightStreamShapes : public testing::TestWithParam<Shape> {};

TEST_P(WeightStreamShapes, ArriveAsTheyAre) {
  const auto [rows, row_bytes, stride] = GetParam();
  const std::vector<std::byte> from = Bytes(rows == 0 ? 0 : (rows - 1) * stride + row_bytes);
  for (const int threads : {1, 3}) {
    for (const size_t buffer_bytes : {size_t{1}, size_t{48}, size_t{1} << 22}) {
      if (rows * row_bytes / buffer_bytes > 5000) continue;
      Stream stream;
      WeightStream weights(threads, buffer_bytes);
      std::vector<std::byte> to(rows * row_bytes + 1);
      ASSERT_TRUE(weights.Copy(stream, to.data(), from.data(), stride, row_bytes, rows));
      EXPECT_EQ(stream.Synchronize(), "");
      for (size_t row = 0; row < rows; ++row) {
        ASSERT_EQ(std::memcmp(&to[row * row_bytes], &from[row * stride], row_bytes), 0)
            << "row " << row << ", buffers of " << buffer_bytes;
      }
      EXPECT_EQ(to.back(), std::byte{0}) << "one byte too far";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ugly, WeightStreamShapes,
                         testing::Values(Shape{0, 16, 16}, Shape{1, 1, 1}, Shape{1, 47, 47}, Shape{1, 48, 48},
                                         Shape{1, 49, 49}, Shape{7, 48, 48}, Shape{7, 16, 48}, Shape{5, 6, 7},
                                         Shape{3, 200, 1000}, Shape{97, 2, 2},
                                         Shape{3, (1 << 21) + 2, 3 << 20}, Shape{5000, 1000, 1024}));

// What one buffer alone would have to wait for each time.
TEST(WeightStream, ABufferIsReadIntoWhileTheOtherIsCopied) {
  Stream stream;
  WeightStream weights(2, 64);
  const std::vector<std::byte> from = Bytes(10 * 64);
  std::vector<std::byte> to(from.size());
  ASSERT_TRUE(weights.Copy(stream, to.data(), from.data(), 64, 64, 1));
  EXPECT_EQ(stream.waits(), 0);
  ASSERT_TRUE(weights.Copy(stream, to.data() + 64, from.data() + 64, 64, 64, 1));
  EXPECT_EQ(stream.waits(), 0) << "of another matrix, too";
  ASSERT_TRUE(weights.Copy(stream, to.data() + 128, from.data() + 128, 64, 64, 8));
  EXPECT_EQ(stream.waits(), 8);
  EXPECT_EQ(stream.copies(), 10u);
  EXPECT_EQ(stream.copies_queued(), 2u) << "for neither of the last two did anybody wait";
  weights.End(stream);
  EXPECT_EQ(stream.copies_queued(), 0u);
  EXPECT_EQ(to, from);
  ASSERT_TRUE(weights.Copy(stream, to.data(), from.data(), 64, 64, 10)) << "and again, from new memory";
  weights.End(stream);
  EXPECT_EQ(stream.Synchronize(), "");
}

// The mistake that the buffers are for: what fibers say of it.
TEST(WeightStream, OneBufferThatIsNotWaitedForIsSaid) {
  Stream stream;
  const std::vector<std::byte> from = Bytes(2 * 64);
  std::vector<std::byte> to(from.size()), buffer(64);
  for (const size_t at : {0, 64}) {
    std::memcpy(buffer.data(), from.data() + at, 64);
    QueueCopyToDevice(stream, to.data() + at, buffer.data(), 64);
  }
  EXPECT_EQ(stream.Synchronize(), "pinned memory was written while a copy of it was queued");
}

}  // namespace
}  // namespace quire::kernels::cuda
