#include "kernels/cpu/agreement.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <utility>

#include "kernels/bf16.h"
#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {
namespace {

bool SameBits(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}
bool SameBits(uint16_t a, uint16_t b) { return SameBits(Bf16ToFloat(a), Bf16ToFloat(b)); }

template <typename Number>
bool AllSame(const Number* a, const Number* b, int64_t count) {
  return std::equal(a, a + count, b, [](Number x, Number y) { return SameBits(x, y); });
}

// Kinds of numbers, so that every way to compute that differs somewhere shows.
enum Kind : int { kAnyBits, kNearOne, kCancelling, kTiny, kDenormal, kKinds };

// Inputs of one probe for all lanes, each of its own values.
struct Probe {
  uint16_t w[2 * kLanes], x[2 * kLanes];
  float acc[kLanes];
};

class ProbeMaker {
 public:
  explicit ProbeMaker(uint32_t seed) : random_(seed) {}
  Probe Next(int kind) {
    switch (kind) {
      case kAnyBits:
        return AnyBits();
      case kNearOne:
        return Near(0, 0, 1);  // magnitudes near 1, where rounding differs first
      case kCancelling:
        return Cancelling();
      case kTiny:
        return Near(-126, 12, 24);  // products, sums and accumulators around the least normal number
      default:
        return Denormal();
    }
  }

 private:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  // sign, exponent, mantissa; exponents out of range become zeros, denormals or infinities' neighbours.
  uint16_t Bf16(bool negative, int exponent, int mantissa) {
    return static_cast<uint16_t>(negative << 15 | std::clamp(exponent + 127, 0, 254) << 7 | mantissa);
  }
  float Fp32(bool negative, int exponent) {
    const uint32_t bits = static_cast<uint32_t>(negative) << 31 |
                          static_cast<uint32_t>(std::clamp(exponent + 127, 0, 254)) << 23 |
                          (random_() & 0x7fffff);
    return std::bit_cast<float>(bits);
  }
  Probe AnyBits() {
    Probe probe;
    for (uint16_t& value : probe.w) value = static_cast<uint16_t>(random_());
    for (uint16_t& value : probe.x) value = static_cast<uint16_t>(random_());
    for (float& value : probe.acc) value = std::bit_cast<float>(static_cast<uint32_t>(random_()));
    return probe;
  }
  // Products of 2^(center +- spread), accumulators up to 2^below smaller.
  Probe Near(int center, int spread, int below) {
    Probe probe;
    for (int64_t i = 0; i < 2 * kLanes; ++i) {
      const int exponent = center + Draw(2 * spread + 1) - spread, part = Draw(40) - 20;
      probe.w[i] = Bf16(Draw(2) != 0, exponent / 2 + part, Draw(128));
      probe.x[i] = Bf16(Draw(2) != 0, exponent - exponent / 2 - part, Draw(128));
    }
    for (float& value : probe.acc) value = Fp32(Draw(2) != 0, center - Draw(below + 1));
    return probe;
  }
  // The two products of a lane nearly cancel and the accumulator lies in their last bits: the sum depends on
  // which is added first, and on whether each addition is rounded.
  Probe Cancelling() {
    Probe probe;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int exponent = Draw(60) - 30, part = Draw(20) - 10;
      const bool negative = Draw(2) != 0;
      for (int64_t i : {2 * lane, 2 * lane + 1}) {
        probe.w[i] = Bf16(negative != (i % 2 == 0), part, Draw(128));
        probe.x[i] = Bf16(false, exponent - part, Draw(128));
      }
      probe.acc[lane] = Fp32(Draw(2) != 0, exponent - 14 - Draw(14));
    }
    return probe;
  }
  // Inputs below the least normal number, and zeros of both signs, against large ones.
  Probe Denormal() {
    Probe probe = Near(0, 4, 30);
    for (int64_t i = 0; i < 2 * kLanes; ++i) {
      if (Draw(2) == 0) probe.w[i] = Bf16(Draw(2) != 0, -127, Draw(128));
      probe.x[i] =
          Draw(4) == 0 ? Bf16(Draw(2) != 0, -127, Draw(128)) : Bf16(Draw(2) != 0, 100 + Draw(28), Draw(128));
    }
    for (float& value : probe.acc) {
      if (Draw(2) == 0) value = Fp32(Draw(2) != 0, -127 - Draw(2));
    }
    return probe;
  }

  std::mt19937 random_;
};

int64_t PackedSize(int64_t rows, int64_t pairs) { return (rows + kLanes - 1) / kLanes * kLanes * 2 * pairs; }

}  // namespace

bool DotProductsAgree(const KernelTable& a, const KernelTable& b) {
  const FlushDenormals flush;
  ProbeMaker probes(1);
  for (int round = 0; round < 5000; ++round) {
    const Probe probe = probes.Next(round % kKinds);
    float acc_a[kLanes], acc_b[kLanes];
    std::copy_n(probe.acc, kLanes, acc_a);
    std::copy_n(probe.acc, kLanes, acc_b);
    a.dot_pairs(probe.w, probe.x, acc_a);
    b.dot_pairs(probe.w, probe.x, acc_b);
    if (!AllSame(acc_a, acc_b, kLanes)) return false;
  }
  return true;
}

MatmulTrial::MatmulTrial(const MatmulKernels& right) : tiles_(kTiles * kTileFloats) {
  // What a product's numbers can be: three steps of k, so that the sums of the ones before are added to, but
  // few k's where most sums would overflow.
  for (int round = 0; round < 500; ++round) {
    const int kind = round % kKinds;
    AddCase(kind, kLanes, kLanes, 1, kind == kAnyBits || kind == kDenormal ? 2 : 48);
  }
  // How a product is cut: rows of x, panels, steps, chunks and leaves that fit no tile, and some that do.
  for (const auto& [m, rows, leaves, leaf_pairs] : {std::array<int64_t, 4>{1, 48, 1, 64},
                                                    {2, 100, 1, 33},
                                                    {9, 49, 8, 5},
                                                    {17, 33, 2, 40},
                                                    {33, 144, 4, 20},
                                                    {17, 16, 1, 2600},
                                                    {300, 20, 1, 24},
                                                    {kMaxColumns, 16, 1, 16}}) {
    AddCase(kNearOne, m, rows, leaves, leaf_pairs);
  }
  const FlushDenormals flush;
  for (Case& trial : cases_) {
    plain_.resize(std::max(plain_.size(), trial.plain.size()));
    silu_mul_.resize(plain_.size());
    Run(trial, right, trial.plain.data(), trial.silu_mul.data());
  }
}

void MatmulTrial::AddCase(int kind, int64_t m, int64_t rows, int64_t leaves, int64_t leaf_pairs) {
  ProbeMaker probes(static_cast<uint32_t>(cases_.size()) + 1);
  const int64_t pairs = leaves * leaf_pairs;
  Case trial{
      m, rows, leaves, leaf_pairs, {}, {}, std::vector<float>(m * rows), std::vector<uint16_t>(m * rows)};
  trial.x.resize(m * 2 * pairs);
  trial.weights.resize(2 * PackedSize(rows, pairs));
  // A probe's lanes are a pair of k: of 16 rows of weights, and of 16 rows of x.
  const int64_t count = std::ssize(trial.weights) / (2 * kLanes);
  for (int64_t i = 0; i < std::max(count, (m + kLanes - 1) / kLanes * pairs); ++i) {
    const Probe probe = probes.Next(kind);
    if (i < count) std::copy_n(probe.w, 2 * kLanes, trial.weights.data() + i * 2 * kLanes);
    const int64_t first = i / pairs * kLanes, pair = i % pairs;
    for (int64_t lane = 0; lane < std::min(kLanes, m - first); ++lane) {
      std::copy_n(probe.x + 2 * lane, 2, trial.x.data() + ((first + lane) * pairs + pair) * 2);
    }
  }
  cases_.push_back(std::move(trial));
}

void MatmulTrial::Run(const Case& trial, const MatmulKernels& kernels, float* plain, uint16_t* silu_mul) {
  MatmulArgs args{.x = trial.x.data(),
                  .x_stride = 2 * trial.leaves * trial.leaf_pairs,
                  .m = trial.m,
                  .leaves = trial.leaves,
                  .leaf_pairs = trial.leaf_pairs,
                  .weights = trial.weights.data(),
                  .rows = trial.rows,
                  .bias = nullptr,  // it would hide small sums
                  .out = plain,
                  .out_stride = trial.rows,
                  .tiles = tiles_.data()};
  kernels.plain(args);
  args.leaf_pairs *= std::exchange(args.leaves, 1);  // gate and up are of one leaf
  args.out = silu_mul;
  kernels.silu_mul(args);
}

bool MatmulTrial::Passes(const MatmulKernels& kernels) {
  const FlushDenormals flush;
  for (const Case& trial : cases_) {
    Run(trial, kernels, plain_.data(), silu_mul_.data());
    if (!AllSame(plain_.data(), trial.plain.data(), std::ssize(trial.plain))) return false;
    if (!AllSame(silu_mul_.data(), trial.silu_mul.data(), std::ssize(trial.silu_mul))) return false;
  }
  return true;
}

namespace {

// Eleven rows of x against 50 outputs, of which every byte is drawn; 2 leaves of 3 groups.
struct Int8Case {
  static constexpr int64_t kRows = 11, kOutputs = 50, kLeaves = 2, kGroups = 3;

  explicit Int8Case(int64_t group) : group(group), k(kLeaves * kGroups * group) {
    ProbeMaker probes(static_cast<uint32_t>(group));
    for (int64_t i = 0; std::ssize(x) < kRows * k; ++i) {
      const bool wild_row = std::ssize(x) / k % 4 == 0;  // whose large numbers would hide what others show
      const Probe probe = probes.Next(wild_row && i % 7 == 0 ? kAnyBits : kNearOne);
      x.insert(x.end(), probe.x, probe.x + 2 * kLanes);
    }
    std::mt19937 random(1);
    // A panel of 48 rows and one of 16.
    for (const int64_t panel : {kPanelVectors, int64_t{1}}) {
      for (int64_t leaf = 0; leaf < kLeaves; ++leaf) {
        const int64_t scale_bytes = Int8ScaleBytes(kGroups, panel);
        for (int64_t i = 0; i < scale_bytes; i += 2) weights.insert(weights.end(), {0, 0x3c});  // 2^-7
        for (int64_t i = 0; i < kGroups * group / 4 * panel * 64; ++i) {
          weights.push_back(static_cast<uint8_t>(random()));
        }
      }
    }
  }

  struct Result {
    std::vector<int8_t> q;
    std::vector<float> scales, out;
    std::vector<int32_t> starts;
  };
  Result Run(const Int8Kernels& kernels) const {
    const int64_t groups = kLeaves * kGroups;
    Result result;
    result.q.resize(kRows * k);
    result.scales.resize(kRows * groups);
    result.starts.resize(kRows * groups);
    result.out.resize(kRows * kOutputs);
    std::vector<float> tiles(kTiles * kTileFloats);
    for (int64_t row = 0; row < kRows; ++row) {
      kernels.quantize(x.data() + row * k, k, group, result.q.data() + row * k,
                       result.scales.data() + row * groups, result.starts.data() + row * groups);
    }
    kernels.plain({result.q.data(), k, kRows, kLeaves, kGroups, group, result.scales.data(),
                   result.starts.data(), groups, weights.data(), kOutputs, nullptr, result.out.data(),
                   kOutputs, tiles.data()});
    return result;
  }

  const int64_t group, k;
  std::vector<uint16_t> x;
  std::vector<uint8_t> weights;
};

}  // namespace

bool Int8KernelsAgree(const Int8Kernels& a, const Int8Kernels& b) {
  const FlushDenormals flush;
  for (const int64_t group : {32, 64, 128}) {
    const Int8Case trial(group);
    const Int8Case::Result left = trial.Run(a), right = trial.Run(b);
    if (left.q != right.q || left.starts != right.starts) return false;
    if (!AllSame(left.scales.data(), right.scales.data(), std::ssize(left.scales))) return false;
    if (!AllSame(left.out.data(), right.out.data(), std::ssize(left.out))) return false;
  }
  return true;
}

}  // namespace quire::kernels::cpu
