#include "kernels/int8_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "base/core/on_threads.h"
#include "kernels/bf16.h"

namespace quire::kernels {
namespace {

// So small that its group's scale is 0 or the value nothing in it; so large that no sum of such values is a
// denormal, which vector units flush.
constexpr float kLeastInput = 0x1p-60f;

// Rows that are quantized together, one beside the other: what is done to one is done to all of them, in
// vectors.
constexpr int64_t kTogether = 8;

template <int64_t kRows>
using Lanes = float[kRows];

template <int64_t kRows>
void Rotate(int64_t group, Lanes<kRows>* values) {
  for (int64_t stride = 1; stride < group; stride *= 2) {
    for (int64_t first = 0; first < group; first += 2 * stride) {
      for (int64_t i = first; i < first + stride; ++i) {
        for (int64_t r = 0; r < kRows; ++r) {
          const float a = values[i][r], b = values[i + stride][r];
          values[i][r] = a + b;
          values[i + stride][r] = a - b;
        }
      }
    }
  }
}

float RoundUpToBf16(float x) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0xffffu) & 0xffff0000u);
}

// To nearest, ties to even: where 1.5 * 2^23 is added, no fraction is left in the float.
int32_t RoundToInt(float x) {
  constexpr float kShift = 0x1.8p23f;
  return std::bit_cast<int32_t>(x + kShift) - std::bit_cast<int32_t>(kShift);
}

// One group of each of kRows rows: x[r] is row r's, q[r] and scales[r] are where its results go.
template <int64_t kRows>
void QuantizeGroups(const uint16_t* const* x, int64_t group, int8_t* const* q, float* scales) {
  Lanes<kRows> values[kMaxInt8Group];
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < group; ++i) {
      const float value = Bf16ToFloat(x[r][i]);
      values[i][r] = std::abs(value) < kLeastInput ? 0.0f : value;
    }
  }
  Rotate<kRows>(group, values);
  Lanes<kRows> most = {}, not_finite = {}, inverse;
  for (int64_t i = 0; i < group; ++i) {
    for (int64_t r = 0; r < kRows; ++r) {
      most[r] = std::max(most[r], std::abs(values[i][r]));
      not_finite[r] += values[i][r] - values[i][r];  // 0, or NaN
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    const bool finite = not_finite[r] == 0;
    scales[r] = finite ? RoundUpToBf16(most[r] / 127) : std::numeric_limits<float>::quiet_NaN();
    inverse[r] = finite && most[r] > 0 ? 1 / scales[r] : 0;
    if (finite) continue;
    for (int64_t i = 0; i < group; ++i) values[i][r] = 0;
  }
  for (int64_t i = 0; i < group; ++i) {
    for (int64_t r = 0; r < kRows; ++r) q[r][i] = static_cast<int8_t>(RoundToInt(values[i][r] * inverse[r]));
  }
}

struct Place {
  int64_t row = -1, column = 0;
};

// Rows [first, first + kRows). Ends at a group that is not finite, and says where that is.
template <int64_t kRows>
Place QuantizeSome(const HostMatrix& weights, int64_t first, Int8Rows& out) {
  const int64_t groups = out.k / out.group;
  for (int64_t g = 0; g < groups; ++g) {
    const uint16_t* x[kRows];
    int8_t* q[kRows];
    float scales[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      x[r] = weights.bf16(first + r) + g * out.group;
      q[r] = out.q.data() + (first + r) * out.k + g * out.group;
    }
    QuantizeGroups<kRows>(x, out.group, q, scales);
    for (int64_t r = 0; r < kRows; ++r) {
      if (std::isnan(scales[r])) return {first + r, g * out.group};
      // A power of two: exact.
      out.scales[(first + r) * groups + g] = FloatToBf16(scales[r] / static_cast<float>(out.group));
    }
  }
  return {};
}

// Rows [first, last), at most kTogether. The same.
Place QuantizeUpTo(const HostMatrix& weights, int64_t first, int64_t last, Int8Rows& out) {
  if (last - first == kTogether) return QuantizeSome<kTogether>(weights, first, out);
  Place broken;
  for (int64_t row = first; row < last && broken.row < 0; ++row) broken = QuantizeSome<1>(weights, row, out);
  return broken;
}

}  // namespace

int64_t Int8GroupOf(int64_t k, int64_t leaves) {
  for (int64_t group = kMaxInt8Group; group >= kMinInt8Group; group /= 2) {
    if (k > 0 && k % (leaves * group) == 0) return group;
  }
  return 0;
}

void QuantizeRow(const uint16_t* x, int64_t k, int64_t group, int8_t* q, float* scales) {
  for (int64_t at = 0; at < k; at += group, ++scales) {
    const uint16_t* const from = x + at;
    int8_t* const to = q + at;
    QuantizeGroups<1>(&from, group, &to, scales);
  }
}

absl::StatusOr<Int8Rows> QuantizeRows(const HostMatrix& weights, int64_t k, int64_t group, int threads) {
  Int8Rows out{.rows = weights.rows, .k = k, .group = group, .q = {}, .scales = {}};
  out.q.resize(out.rows * k);
  out.scales.resize(out.rows * (k / group));
  Mutex mutex;
  Place broken;  // the first
  ForEachOnThreads(threads, (out.rows + kTogether - 1) / kTogether, [&](int64_t i) {
    const int64_t first = i * kTogether;
    const Place place = QuantizeUpTo(weights, first, std::min(first + kTogether, out.rows), out);
    if (place.row < 0) return;
    MutexLock lock(&mutex);
    if (broken.row < 0 || place.row < broken.row) broken = place;
  });
  if (broken.row >= 0) {
    return absl::InvalidArgumentError(absl::StrCat("row ", broken.row, " has among its columns ",
                                                   broken.column, " to ", broken.column + group - 1,
                                                   " what is not finite, or too large to be added up"));
  }
  return out;
}

}  // namespace quire::kernels
