#include "worker/rank_cpus.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/cpu_topology.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {

absl::Status ChooseCpus(WorkerConfig& config) {
  if (config.cpus != "all") {
    const absl::StatusOr<CpuList> cpus = ParseCpuList(config.cpus);
    const absl::Status chosen = cpus.ok() ? RunOnCpus(*cpus) : cpus.status();
    if (!chosen.ok()) return absl::InvalidArgumentError(absl::StrCat("--cpus: ", MessageOf(chosen)));
  }
  const CpuList usable = UsableCpus();
  const std::optional<int64_t> quota = CpuQuota();
  const int64_t sharers =
      std::max<int64_t>(1, config.ranks_here()) * std::max<int64_t>(1, config.host_groups);
  if (config.threads == 0) {
    config.threads = std::min(ThreadsWithin(std::ssize(usable), quota, sharers), kMaxComputeThreads);
  }
  Log(LogLevel::kInfo, "cpus", "usable", FormatCpuList(usable), "quota",
      quota ? absl::StrCat(*quota) : "none", "threads", config.threads);
  return absl::OkStatus();
}

RankChoice ChooseRanks(int64_t most) {
  const CpuNodes found = GroupByNode(UsableCpus());
  const int64_t nodes = std::ssize(found.nodes);
  RankChoice choice{std::min(nodes, most), found.description};
  if (most < nodes) absl::StrAppend(&choice.reason, ", but the model can be split over at most ", most);
  const std::optional<int64_t> quota = CpuQuota();
  if (!quota || *quota >= choice.ranks) return choice;
  choice.ranks = *quota;
  absl::StrAppend(&choice.reason, ", but a cgroup's quota leaves the time of ", *quota);
  return choice;
}

}  // namespace quire::worker
