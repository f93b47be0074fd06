#include "worker/parallel/tcp/row_bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

namespace quire::worker {
namespace {

constexpr size_t kRow = 5, kStride = 8, kRows = 4;

std::vector<uint8_t> Numbered() {
  std::vector<uint8_t> bytes(kStride * (kRows - 1) + kRow);  // the last row has nothing behind it
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return bytes;
}

// What rows without gaps would hold from `first` on.
std::vector<uint8_t> Wanted(size_t first, size_t count) {
  std::vector<uint8_t> bytes;
  for (size_t i = first; i < first + count; ++i) {
    bytes.push_back(static_cast<uint8_t>(i / kRow * kStride + i % kRow));
  }
  return bytes;
}

std::vector<uint8_t> Flat(const std::vector<iovec>& runs) {
  std::vector<uint8_t> bytes;
  for (const iovec& run : runs) {
    const auto* begin = static_cast<const uint8_t*>(run.iov_base);
    bytes.insert(bytes.end(), begin, begin + run.iov_len);
  }
  return bytes;
}

TEST(RowBytes, AreEachByteOnceFromAnyPlaceInAnySteps) {
  std::vector<uint8_t> bytes = Numbered();
  for (size_t first = 0; first < kRow * kRows; ++first) {
    for (size_t count = 0; first + count <= kRow * kRows; ++count) {
      for (size_t step = 1; step <= count + 1; ++step) {
        InBytes rest(bytes.data(), kRow, kStride, first, count);
        std::vector<uint8_t> got;
        while (!rest.empty()) {
          ASSERT_EQ(rest.left(), count - got.size());
          const size_t some = std::min(step, rest.left());
          std::vector<uint8_t> copy(some);
          ASSERT_EQ(rest.CopyTo(copy), some);
          ASSERT_EQ(rest.front()[0], copy[0]);
          got.insert(got.end(), copy.begin(), copy.end());
          rest.Skip(some);
        }
        ASSERT_EQ(got, Wanted(first, count)) << first << " " << count << " " << step;
      }
    }
  }
}

TEST(RowBytes, AreAsManyRunsAsThereIsRoomFor) {
  std::vector<uint8_t> bytes = Numbered();
  const InBytes rest(bytes.data(), kRow, kStride, 3, 14);
  std::vector<iovec> runs(2);
  ASSERT_EQ(rest.ToIovecs(runs), 2u);
  EXPECT_EQ(Flat(runs), Wanted(3, 7));
  runs.resize(9);
  ASSERT_EQ(rest.ToIovecs(runs), 4u);
  runs.resize(4);
  EXPECT_EQ(Flat(runs), Wanted(3, 14));
  EXPECT_EQ(InBytes(bytes).front().size(), bytes.size());
  EXPECT_TRUE(InBytes().empty());
  EXPECT_EQ(InBytes().ToIovecs(runs), 0u);
}

}  // namespace
}  // namespace quire::worker
