#include <algorithm>
#include <limits>

#include "kernels/sampling/fixed_math.h"
#include "kernels/sampling/row_scans.h"

namespace quire::kernels {
namespace {

constexpr int64_t kLanes = 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Lanes first, then halves of lanes: an order that vector registers of any width up to 16 keep.
float SumOfLanes(float (&lanes)[kLanes]) {
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

float SumFrom(const float* run, float bound) {
  float lanes[kLanes] = {};
  for (int64_t at = 0; at < kRunIds; at += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) lanes[i] += run[at + i] >= bound ? run[at + i] : 0.0f;
  }
  return SumOfLanes(lanes);
}

float Maxima(const float* values, int64_t ids, float* maxima) {
  float poison = 0.0f;
  for (int64_t first = 0; first < ids; first += kRunIds) {
    float max = kMinusInfinity;
    for (int64_t id = first; id < std::min(ids, first + kRunIds); ++id) {
      max = values[id] > max ? values[id] : max;
      poison += values[id] * 0.0f;
    }
    *maxima++ = max;
  }
  return poison;
}

void Weigh(const WeighArgs& args) {
  float weights[kRunIds];
  for (int64_t i = 0; i < args.count; ++i) {
    const int64_t first = args.runs[i] * kRunIds, ids = std::min(kRunIds, args.ids - first);
    float* out = args.weights != nullptr ? args.weights + i * kRunIds : weights;
    for (int64_t j = 0; j < ids; ++j) {
      out[j] = ExpOfNegative((args.logits[first + j] - args.top) * args.scale);
    }
    std::fill(out + ids, out + kRunIds, 0.0f);
    args.sums[i] = SumFrom(out, 0.0f);
  }
}

void Sum(const float* weights, int64_t count, float bound, float* sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] = SumFrom(weights + i * kRunIds, bound);
}

void Mask(const float* values, const uint32_t* words, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = words[i / 32] >> (i % 32) & 1 ? values[i] : kMinusInfinity;
}

int64_t Find(const float* values, int64_t count, float bound, int32_t* found) {
  int64_t size = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] >= bound) found[size++] = static_cast<int32_t>(i);
  }
  return size;
}

}  // namespace

const RowScans& PortableScans() {
  static constexpr RowScans kScans = {Maxima, Weigh, Sum, Mask, Find};
  return kScans;
}

}  // namespace quire::kernels
