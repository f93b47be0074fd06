#include "worker/model/stored_values.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/core/on_threads.h"
#include "kernels/bf16.h"

namespace quire::worker {
namespace {

// Elements that a thread takes at once.
constexpr int64_t kElementsAtOnce = int64_t{1} << 18;

float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  const uint32_t wide = exponent == 0x1F ? 0xFF : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

template <StoredType kType>
float ValueAt(const uint8_t* at) {
  if constexpr (kType == StoredType::kF32) {
    float value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  } else {
    uint16_t bits;
    std::memcpy(&bits, at, sizeof(bits));
    return kType == StoredType::kF16 ? HalfToFloat(bits) : kernels::Bf16ToFloat(bits);
  }
}

template <StoredType kType>
void ConvertRow(const uint8_t* from, int64_t count, uint16_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = kernels::FloatToBf16(ValueAt<kType>(from + i * ElementBytes(kType)));
  }
}

}  // namespace

float ElementAt(const StoredTensor& tensor, int64_t index) {
  const uint8_t* at = tensor.bytes.data() + index * ElementBytes(tensor.type);
  if (tensor.type == StoredType::kF32) return ValueAt<StoredType::kF32>(at);
  return tensor.type == StoredType::kF16 ? ValueAt<StoredType::kF16>(at) : ValueAt<StoredType::kBf16>(at);
}

bool IsBf16InPlace(const StoredTensor& tensor) {
  return tensor.type == StoredType::kBf16 && reinterpret_cast<uintptr_t>(tensor.bytes.data()) % 2 == 0;
}

void ConvertToBf16(const StoredTensor& tensor, const TensorSlice& slice, int threads, uint16_t* out) {
  const auto convert_row = tensor.type == StoredType::kF32   ? ConvertRow<StoredType::kF32>
                           : tensor.type == StoredType::kF16 ? ConvertRow<StoredType::kF16>
                                                             : ConvertRow<StoredType::kBf16>;
  const int64_t element = ElementBytes(tensor.type), cols = slice.cols.size(), rows = slice.rows.size();
  const int64_t together = std::max<int64_t>(1, kElementsAtOnce / std::max<int64_t>(cols, 1));
  ForEachOnThreads(threads, (rows + together - 1) / together, [&](int64_t piece) {
    const int64_t last = std::min(rows, (piece + 1) * together);
    for (int64_t row = piece * together; row < last; ++row) {
      const int64_t first = (slice.rows.begin + row) * slice.shape[1] + slice.cols.begin;
      convert_row(tensor.bytes.data() + first * element, cols, out + row * cols);
    }
  });
}

}  // namespace quire::worker
