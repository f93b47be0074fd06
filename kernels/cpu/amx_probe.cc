#include "kernels/cpu/amx_probe.h"

#include <cpuid.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/cpu/agreement.h"

namespace quire::kernels::cpu {
namespace {

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Leaf Cpuid(unsigned number, unsigned part) {
  Leaf leaf;
  __get_cpuid_count(number, part, &leaf.a, &leaf.b, &leaf.c, &leaf.d);  // zeros where there is no such leaf
  return leaf;
}

// The manual's CPUID leaves 1DH (tile information) and 1EH (TMUL information).
bool HasWholeTiles() {
  constexpr unsigned kRows = 16, kRowBytes = 64, kTiles = 8, kPairs = 16;
  if (Cpuid(0x1d, 0).a < 1) return false;  // no palette but the initial state's
  const Leaf palette = Cpuid(0x1d, 1), product = Cpuid(0x1e, 0);
  return palette.a >> 16 >= kRows * kRowBytes && (palette.b & 0xffff) >= kRowBytes &&
         palette.b >> 16 >= kTiles && (palette.c & 0xffff) >= kRows && (product.b & 0xff) >= kPairs &&
         (product.b >> 8 & 0xffff) >= kRowBytes;
}

bool SystemSavesTiles() {
  constexpr unsigned kOsXsave = 1u << 27;    // CPUID.1:ECX, without which XGETBV doesn't exist
  constexpr unsigned kTileState = 3u << 17;  // XCR0: TILECFG and TILEDATA
  if ((Cpuid(1, 0).c & kOsXsave) == 0) return false;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kTileState) == kTileState;
}

}  // namespace

AmxFacts AskForAmx() {
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;       // CPUID.7.0:EDX
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // Linux's arch_prctl, from 5.16 on
  AmxFacts facts;
  facts.advertised = (~Cpuid(7, 0).d & (kBf16 | kTile)) == 0;
  facts.whole_tiles = facts.advertised && HasWholeTiles();
  facts.saved = facts.whole_tiles && SystemSavesTiles();
  if (facts.saved && syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) facts.refusal = errno;
  return facts;
}

absl::Status ProveAmx(const AmxFacts& facts, const MatmulKernels& kernels) {
  if (!facts.advertised) return absl::NotFoundError("this CPU has no AMX with BF16");
  if (!facts.whole_tiles) {
    return absl::FailedPreconditionError("this CPU says that it has AMX, but not tiles of 1 KiB");
  }
  if (!facts.saved) {
    return absl::FailedPreconditionError(
        "this CPU has AMX, but the system doesn't save its tiles (Linux does from 5.16 on)");
  }
  if (facts.refusal != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this CPU has AMX, but the system refuses it to this process: ", std::strerror(facts.refusal)));
  }
  MatmulTrial trial(AmxTwinMatmuls());
  const absl::Status proof = TryInChild([&] { return trial.Passes(kernels); });
  if (proof.ok() || absl::IsUnavailable(proof)) return proof;
  return absl::FailedPreconditionError(
      absl::StrCat("this CPU says that it has AMX, but trying its products, ", MessageOf(proof)));
}

namespace {

// Whoever started this process may have had SIGCHLD ignored, and nobody's end is told then.
class ChildrenAreTold {
 public:
  ChildrenAreTold() {
    struct sigaction told {};
    told.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &told, &before_);
  }
  ~ChildrenAreTold() { sigaction(SIGCHLD, &before_, nullptr); }
  ChildrenAreTold(const ChildrenAreTold&) = delete;
  ChildrenAreTold& operator=(const ChildrenAreTold&) = delete;

 private:
  struct sigaction before_ {};
};

// Whatever this process made of the signal.
void EndAfter(unsigned seconds) {
  std::signal(SIGALRM, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  alarm(seconds);
}

}  // namespace

absl::Status TryInChild(absl::FunctionRef<bool()> trial, unsigned limit_s) {
  const ChildrenAreTold told;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (const int number : {SIGILL, SIGSEGV, SIGBUS, SIGFPE}) std::signal(number, SIG_DFL);
    EndAfter(limit_s);
    _exit(trial() ? 0 : 1);  // whatever this process would do at its end is the parent's
  }
  if (child < 0) {
    return absl::UnavailableError(
        absl::StrCat("AMX can't be tried, since a fork failed: ", std::strerror(errno),
                     ": raise the limit on processes, or give --isa avx512 to all ranks"));
  }
  int end = 0;
  while (waitpid(child, &end, 0) < 0) {
    if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("a child's end was not told: ", std::strerror(errno)));
    }
  }
  if (WIFSIGNALED(end)) {
    return absl::AbortedError(
        absl::StrCat("a process ended by signal ", WTERMSIG(end), " (", strsignal(WTERMSIG(end)), ")"));
  }
  return WEXITSTATUS(end) == 0 ? absl::OkStatus() : absl::DataLossError("results were wrong");
}

}  // namespace quire::kernels::cpu
