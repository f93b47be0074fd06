// Which of the kernel tables this CPU can run. AVX-512 counts only if its bf16 dot product gives AVX2's bits
// on this very CPU, which is tried out; so choosing one never changes a token. Called once at start.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

struct CpuFacts {
  bool avx2 = false, avx512 = false;
  bool dot_products_agree = false;  // of the two, where it has both
};
struct KernelChoice {
  bool avx512 = false;
  std::string reason;                 // for the log
  bool slower_than_expected = false;  // the CPU has the faster instructions, and they can't be used
};
// `isa` is auto, avx2 or avx512. InvalidArgument for another name, FailedPrecondition if the CPU lacks it.
absl::StatusOr<KernelChoice> DecideKernels(std::string_view isa, const CpuFacts& cpu);
// The same for this CPU; logs what auto chose, and why.
absl::StatusOr<const KernelTable*> ChooseKernels(std::string_view isa);

// Whether the two tables' dot products agree in every lane on random, extreme, cancelling, underflowing and
// denormal inputs.
bool DotProductsAgree(const KernelTable& a, const KernelTable& b);

}  // namespace quire::kernels::cpu
