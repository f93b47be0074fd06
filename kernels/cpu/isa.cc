#include "kernels/cpu/isa.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {
namespace {

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16");
}

bool SameBits(const float* a, const float* b) {
  for (int64_t i = 0; i < kLanes; ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (!both_nan && std::memcmp(a + i, b + i, sizeof(float)) != 0) return false;
  }
  return true;
}

// Inputs of one probe for all lanes, each of its own values.
struct Probe {
  uint16_t w[2 * kLanes], x[2 * kLanes];
  float acc[kLanes];
};

class ProbeMaker {
 public:
  // Kinds of numbers in turn, so that every way to compute the step that differs somewhere shows.
  Probe Next() {
    constexpr int kKinds = 5;
    switch (turn_++ % kKinds) {
      case 0:
        return AnyBits();
      case 1:
        return Near(0, 0, 1);  // magnitudes near 1, where rounding differs first
      case 2:
        return Cancelling();
      case 3:
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

  std::mt19937 random_{1};
  uint32_t turn_ = 0;
};

}  // namespace

bool DotProductsAgree(const KernelTable& a, const KernelTable& b) {
  const FlushDenormals flush;
  ProbeMaker probes;
  for (int round = 0; round < 5000; ++round) {
    const Probe probe = probes.Next();
    float acc_a[kLanes], acc_b[kLanes];
    std::copy_n(probe.acc, kLanes, acc_a);
    std::copy_n(probe.acc, kLanes, acc_b);
    a.dot_pairs(probe.w, probe.x, acc_a);
    b.dot_pairs(probe.w, probe.x, acc_b);
    if (!SameBits(acc_a, acc_b)) return false;
  }
  return true;
}

absl::StatusOr<KernelChoice> DecideKernels(std::string_view isa, const CpuFacts& cpu) {
  if (isa != "auto" && isa != "avx2" && isa != "avx512") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown instruction set \"", std::string(isa), "\"; use auto, avx2 or avx512"));
  }
  if (!cpu.avx2) {
    return absl::FailedPreconditionError(
        "this CPU has neither AVX-512 BF16 nor AVX2 with FMA; the CPU backend needs one of them");
  }
  if (isa == "avx2") return KernelChoice{false, "asked for", false};
  const bool asked = isa == "avx512";
  if (!cpu.avx512) {
    if (!asked) return KernelChoice{false, "this CPU has no AVX-512 with BF16", false};
    return absl::FailedPreconditionError("this CPU lacks AVX-512 with BF16; use avx2 or auto");
  }
  if (!cpu.dot_products_agree) {
    const std::string reason =
        "this CPU's vdpbf16ps rounds unlike two fused multiply-adds, so its tokens would differ from other "
        "machines'";
    if (!asked) return KernelChoice{false, reason, true};
    return absl::FailedPreconditionError(absl::StrCat(reason, "; use avx2 or auto"));
  }
  return KernelChoice{true, asked ? "asked for" : "this CPU has AVX-512 with BF16, and its sums are AVX2's",
                      false};
}

absl::StatusOr<const KernelTable*> ChooseKernels(std::string_view isa) {
  CpuFacts cpu{HasAvx2(), HasAvx512(), false};
  cpu.dot_products_agree = cpu.avx512 && isa != "avx2" && DotProductsAgree(Avx512Kernels(), Avx2Kernels());
  QUIRE_ASSIGN_OR_RETURN(const KernelChoice choice, DecideKernels(isa, cpu));
  const KernelTable& table = choice.avx512 ? Avx512Kernels() : Avx2Kernels();
  const LogLevel level = choice.slower_than_expected ? LogLevel::kWarn : LogLevel::kInfo;
  if (isa == "auto") Log(level, "cpu_kernels", "kernels", table.name, "reason", choice.reason);
  return &table;
}

}  // namespace quire::kernels::cpu
