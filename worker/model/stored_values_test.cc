#include "worker/model/stored_values.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/bf16.h"

namespace quire::worker {
namespace {

// Of so many elements, one byte off alignment, with every 16-bit pattern where there are enough.
struct StoredNumbers {
  StoredNumbers(StoredType stored_type, int64_t rows, int64_t cols) {
    const int64_t size = ElementBytes(stored_type);
    memory.resize(1 + rows * cols * size);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const uint32_t bits = size == 2 ? static_cast<uint32_t>(i) : static_cast<uint32_t>(i) * 2654435761u;
      std::memcpy(memory.data() + 1 + i * size, &bits, size);
    }
    tensor = {stored_type, {rows, cols}, std::span<const uint8_t>(memory).subspan(1)};
  }
  std::vector<uint8_t> memory;
  StoredTensor tensor;
};

// Every half is a bf16 after rounding, every sum of powers of two that it is worth is known.
TEST(StoredValuesTest, HalvesAreWorthWhatTheFormatSays) {
  const StoredNumbers all(StoredType::kF16, 256, 256);
  for (int64_t i = 0; i < 65536; ++i) {
    const int exponent = static_cast<int>(i >> 10 & 31), mantissa = static_cast<int>(i & 1023);
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    const float value = ElementAt(all.tensor, i);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), mantissa != 0) << i;
      EXPECT_EQ(std::isinf(value), mantissa == 0) << i;
    } else {
      EXPECT_EQ(value, static_cast<float>(i < 32768 ? magnitude : -magnitude)) << i;
    }
    EXPECT_EQ(std::signbit(value), i >= 32768) << i;
  }
}

TEST(StoredValuesTest, AConvertedSliceIsItsElementsOneByOneWhateverTheThreads) {
  for (const StoredType type : {StoredType::kBf16, StoredType::kF16, StoredType::kF32}) {
    const StoredNumbers numbers(type, 700, 1000);
    const TensorSlice slice{"w", {700, 1000}, {3, 699}, {11, 997}};
    for (const int threads : {1, 2, 5}) {
      std::vector<uint16_t> converted(slice.elements());
      ConvertToBf16(numbers.tensor, slice, threads, converted.data());
      for (int64_t i = 0; i < slice.elements(); ++i) {
        const int64_t row = 3 + i / 986, col = 11 + i % 986;
        ASSERT_EQ(converted[i], kernels::FloatToBf16(ElementAt(numbers.tensor, row * 1000 + col)))
            << row << ", " << col << " on " << threads << " threads";
      }
    }
  }
}

TEST(StoredValuesTest, OnlyAlignedBf16IsTakenAsItLies) {
  alignas(4) uint8_t memory[8] = {};
  const std::span<const uint8_t> bytes(memory);
  EXPECT_TRUE(IsBf16InPlace({StoredType::kBf16, {2}, bytes.first(4)}));
  EXPECT_FALSE(IsBf16InPlace({StoredType::kBf16, {2}, bytes.subspan(1, 4)}));
  EXPECT_FALSE(IsBf16InPlace({StoredType::kF16, {2}, bytes.first(4)}));
  EXPECT_FALSE(IsBf16InPlace({StoredType::kF32, {2}, bytes}));
}

}  // namespace
}  // namespace quire::worker
