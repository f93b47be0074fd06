// Which CPUs this process may use, for how much of the time, and how they lie on NUMA nodes. A worker takes
// its threads from it, the fleet driver the CPUs of each rank, `--tensor-parallel auto` the number of ranks.
// Functions without state, any thread; but RunOnCpus holds for the calling thread and the threads that it
// starts afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

// Numbers as the kernel counts CPUs, ascending, none twice.
using CpuList = std::vector<int>;

// The form of /sys and of `taskset -c`: "0-3,8". InvalidArgument says what is wrong with it.
absl::StatusOr<CpuList> ParseCpuList(absl::string_view text);
std::string FormatCpuList(const CpuList& cpus);

// What affinity (taskset, a cgroup's cpuset) leaves to the calling thread, offline CPUs left out; never
// empty.
CpuList UsableCpus();

// How many CPUs' time the cgroups around this process leave it (v2: cpu.max; v1: cpu.cfs_quota_us): rounded
// up, so at least 1. None: as much as there is. `root` holds proc and sys.
std::optional<int64_t> CpuQuota(const std::string& root = "");

// What a worker takes: whoever starts one must not ask for more.
inline constexpr int64_t kMaxComputeThreads = 256;

// Compute threads of a process that has `cpus` and shares `quota` with as many as itself as `sharers` says:
// at least 1. More threads than the quota would all be stopped together for most of each period.
int64_t ThreadsWithin(int64_t cpus, std::optional<int64_t> quota, int64_t sharers);

// From then on this process runs on these only. InvalidArgument names the first that it may not use.
absl::Status RunOnCpus(const CpuList& cpus);

struct CpuNodes {
  std::vector<CpuList> nodes;  // each usable CPU stands in one of them; none is empty
  std::string description;     // "2 NUMA nodes with 8 and 8 usable CPUs"
};

// The usable CPUs by NUMA node. They count as one node where `folder` doesn't tell (containers), and where
// one node has less than half the CPUs of another: ranks get equal shares of the work, so that the least
// node's rank would hold up the others.
CpuNodes GroupByNode(const CpuList& usable, const std::string& folder = "/sys/devices/system/node");

}  // namespace quire
