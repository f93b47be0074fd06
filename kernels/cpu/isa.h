// Which of the kernel tables this CPU can run. AVX-512 counts only if its bf16 dot product gives AVX2's bits
// on this very CPU, which is tried out; so choosing one never changes a token. Called once at start.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

// `isa` is auto, avx2 or avx512. InvalidArgument for another name, FailedPrecondition if the CPU lacks it.
absl::StatusOr<const KernelTable*> ChooseKernels(std::string_view isa);

// Whether the two tables' dot products agree on random, denormal and extreme inputs.
bool DotProductsAgree(const KernelTable& a, const KernelTable& b);

}  // namespace quire::kernels::cpu
