// Which kernels this CPU can run. AVX-512 counts only if its bf16 dot product gives AVX2's bits on this very
// CPU, AMX only if its tile products give its twin's, which is tried out; so choosing within a family never
// changes a token. Called once at start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

enum class Isa : uint8_t {
  kAvx2,
  kAvx512,
  kAmx,      // AVX-512, but for the matmuls
  kAmxTwin,  // AVX2, and matmuls with AMX's bits; for tests
};

struct CpuFacts {
  bool avx2 = false, avx512 = false;
  bool dot_products_agree = false;                                          // of the two, where it has both
  absl::Status amx = absl::NotFoundError("this CPU has no AMX with BF16");  // ProveAmx's
};
struct KernelChoice {
  Isa isa = Isa::kAvx2;
  std::string reason;                 // for the log
  bool slower_than_expected = false;  // the CPU has faster instructions, and they can't be used
};
// `isa` is as in BackendOptions (kernels/backend_factory.h). InvalidArgument for another name,
// FailedPrecondition if the CPU lacks it.
absl::StatusOr<KernelChoice> DecideKernels(std::string_view isa, const CpuFacts& cpu);
// The same for this CPU; logs what auto chose, and why. Unavailable: AMX could not be tried.
absl::StatusOr<KernelTable> ChooseKernels(std::string_view isa);

}  // namespace quire::kernels::cpu
