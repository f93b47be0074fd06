#include "kernels/cpu/isa.h"

#include <cmath>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
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

}  // namespace

bool DotProductsAgree(const KernelTable& a, const KernelTable& b) {
  const FlushDenormals flush;
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    uint16_t w[2 * kLanes], x[2 * kLanes];
    float acc_a[kLanes], acc_b[kLanes];
    // Odd rounds: any bits at all. Even rounds: magnitudes near 1, where rounding differs first.
    const auto draw = [&] {
      return static_cast<uint16_t>(round % 2 ? random() : random() % 0x8400 + 0x3e00);
    };
    for (int64_t i = 0; i < 2 * kLanes; ++i) {
      w[i] = draw();
      x[i] = draw();
    }
    for (int64_t i = 0; i < kLanes; ++i) acc_a[i] = acc_b[i] = static_cast<float>(random()) * 0x1p-31f - 1;
    a.dot_pairs(w, x, acc_a);
    b.dot_pairs(w, x, acc_b);
    if (!SameBits(acc_a, acc_b)) return false;
  }
  return true;
}

absl::StatusOr<const KernelTable*> ChooseKernels(std::string_view isa) {
  if (isa != "auto" && isa != "avx2" && isa != "avx512") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown instruction set \"", std::string(isa), "\"; use auto, avx2 or avx512"));
  }
  if (!HasAvx2()) {
    return absl::FailedPreconditionError(
        "this CPU has neither AVX-512 BF16 nor AVX2 with FMA; the CPU backend needs one of them");
  }
  if (isa == "avx2") return &Avx2Kernels();
  if (!HasAvx512()) {
    if (isa == "auto") return &Avx2Kernels();
    return absl::FailedPreconditionError("this CPU lacks AVX-512 with BF16; use avx2 or auto");
  }
  if (!DotProductsAgree(Avx512Kernels(), Avx2Kernels())) {
    if (isa == "auto") return &Avx2Kernels();
    return absl::FailedPreconditionError(
        "this CPU's vdpbf16ps rounds unlike two fused multiply-adds, so its tokens would differ from other "
        "machines'; use avx2 or auto");
  }
  return &Avx512Kernels();
}

}  // namespace quire::kernels::cpu
