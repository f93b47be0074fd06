// Whether this process may use AMX, proved rather than believed: there are machines that say AMX and have no
// tiles, hypervisors and kernels that don't save them, policies that refuse them; on each the first
// instruction would end the process. So after everything that can be asked, the kernels run once in a child
// process, which may die of it, and their results have to be the twin's. A handler for SIGILL in this process
// would do for one of these cases, and be every thread's. Called at start, by one thread.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

struct AmxFacts {
  bool advertised = false;   // tiles and their bf16 products, by CPUID
  bool whole_tiles = false;  // eight of 16 rows of 64 bytes, and products over all of them
  bool saved = false;        // the system switches their state with the thread's
  int refusal = 0;           // errno of asking for the permission to use them
};
// Asks CPU and system; where all is there, Linux for the permission, which all threads of this process then
// have, and its children.
AmxFacts AskForAmx();

// OK: these kernels may be used. NotFound: this CPU has no AMX. FailedPrecondition: it says that it has, and
// what stands against it.
absl::Status ProveAmx(const AmxFacts& facts, const MatmulKernels& kernels);

// Far more than a trial takes.
inline constexpr unsigned kTrialLimitS = 60;
// OK if `trial` returns true in a child process, which it may bring down; if it takes longer than the limit,
// SIGALRM does. It may only compute: other threads are gone there, and may have left locks behind.
absl::Status TryInChild(absl::FunctionRef<bool()> trial, unsigned limit_s = kTrialLimitS);

}  // namespace quire::kernels::cpu
