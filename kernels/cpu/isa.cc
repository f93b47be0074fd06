#include "kernels/cpu/isa.h"

#include <cpuid.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cpu/agreement.h"
#include "kernels/cpu/amx_probe.h"

namespace quire::kernels::cpu {
namespace {

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16");
}

bool HasAvxVnni() {
  constexpr unsigned kAvxVnni = 1u << 4;  // CPUID.7.1:EAX
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnni) != 0;
}

// NotFound: the CPU has none of it. FailedPrecondition: it has, and it can't be used.
absl::Status MayUseAvx512(const CpuFacts& cpu) {
  if (!cpu.avx512) return absl::NotFoundError("this CPU has no AVX-512 with BF16");
  if (cpu.dot_products_agree) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this CPU's vdpbf16ps rounds unlike two fused multiply-adds, so its tokens would differ from other "
      "machines'");
}

// The best that can be used, and why nothing better.
KernelChoice Best(const absl::Status& amx, const absl::Status& avx512) {
  if (amx.ok()) return {Isa::kAmx, "this CPU has AMX with BF16, and its products are its twin's", false};
  if (!avx512.ok()) return {Isa::kAvx2, MessageOf(avx512), !absl::IsNotFound(avx512)};
  KernelChoice choice{Isa::kAvx512, "this CPU has AVX-512 with BF16, and its sums are AVX2's",
                      !absl::IsNotFound(amx)};
  if (choice.slower_than_expected) absl::StrAppend(&choice.reason, "; no AMX: ", MessageOf(amx));
  return choice;
}

// The fastest that this CPU has beside `isa`'s other kernels; they give the same bits.
Int8Kernels Int8KernelsFor(bool wide) {
  const bool has_bytes = wide ? __builtin_cpu_supports("avx512vnni") : HasAvxVnni();
  const Int8Kernels widening = Avx2Int8Kernels();
  if (!has_bytes) return widening;
  const Int8Kernels fast = wide ? Avx512Int8Kernels() : AvxVnniInt8Kernels();
  if (Int8KernelsAgree(fast, widening)) return fast;
  Log(LogLevel::kWarn, "cpu_kernels", "kernels", fast.name, "reason",
      "this CPU's dot products of bytes are not what they should be: int8 does without them");
  return widening;
}

KernelTable TableOf(Isa isa) {
  const bool wide = isa == Isa::kAvx512 || isa == Isa::kAmx;
  KernelTable table = wide ? Avx512Kernels() : Avx2Kernels();
  table.int8 = Int8KernelsFor(wide);
  if (isa == Isa::kAvx2 || isa == Isa::kAvx512) return table;
  table.name = wide ? "amx" : "amx-twin";
  table.family = "cpu-bf16-2";
  table.matmuls = wide ? AmxMatmuls() : AmxTwinMatmuls();
  return table;
}

}  // namespace

absl::StatusOr<KernelChoice> DecideKernels(std::string_view isa, const CpuFacts& cpu) {
  constexpr std::array<std::string_view, 6> kNames = {"auto", "vectors", "avx2", "avx512", "amx", "amx-twin"};
  if (std::find(kNames.begin(), kNames.end(), isa) == kNames.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown instruction set \"", std::string(isa), "\"; use auto, avx2, avx512 or amx"));
  }
  if (!cpu.avx2) {
    return absl::FailedPreconditionError(
        "this CPU has neither AVX-512 BF16 nor AVX2 with FMA; the CPU backend needs one of them");
  }
  if (isa == "avx2") return KernelChoice{Isa::kAvx2, "asked for", false};
  if (isa == "amx-twin") return KernelChoice{Isa::kAmxTwin, "asked for", false};
  const absl::Status avx512 = MayUseAvx512(cpu), amx = avx512.ok() ? cpu.amx : avx512;
  if (isa == "auto") return Best(amx, avx512);
  if (isa == "vectors") return Best(absl::NotFoundError("not asked for"), avx512);
  const absl::Status& usable = isa == "amx" ? amx : avx512;
  if (usable.ok()) return KernelChoice{isa == "amx" ? Isa::kAmx : Isa::kAvx512, "asked for", false};
  return absl::FailedPreconditionError(
      absl::StrCat(MessageOf(usable), "; use auto, or a set that this CPU has"));
}

absl::StatusOr<KernelTable> ChooseKernels(std::string_view isa) {
  CpuFacts cpu{.avx2 = HasAvx2(), .avx512 = HasAvx512()};
  const bool any = isa == "auto" || isa == "vectors", amx = isa == "auto" || isa == "amx";
  if (cpu.avx512 && (any || amx || isa == "avx512")) {
    cpu.dot_products_agree = DotProductsAgree(Avx512Kernels(), Avx2Kernels());
  }
  if (cpu.dot_products_agree && amx) cpu.amx = ProveAmx(AskForAmx(), AmxMatmuls());
  if (absl::IsUnavailable(cpu.amx)) return cpu.amx;  // else an accident would choose another family
  QUIRE_ASSIGN_OR_RETURN(const KernelChoice choice, DecideKernels(isa, cpu));
  const KernelTable table = TableOf(choice.isa);
  const LogLevel level = choice.slower_than_expected ? LogLevel::kWarn : LogLevel::kInfo;
  if (any)
    Log(level, "cpu_kernels", "kernels", table.name, "family", table.family, "int8", table.int8.name,
        "reason", choice.reason);
  return table;
}

}  // namespace quire::kernels::cpu
