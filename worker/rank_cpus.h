// Where a rank's threads run and how many it has, and how many ranks this machine suits: from its CPUs, their
// NUMA nodes and a cgroup's quota. Called by the thread that starts the rank, before all others and before
// memory is taken: pages lie on the node of the CPU that first writes them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "worker/worker_config.h"

namespace quire::worker {

// Runs on config.cpus from now on, and fills in config.threads where that is 0. Logs both.
absl::Status ChooseCpus(WorkerConfig& config);

struct RankChoice {
  int64_t ranks = 1;
  std::string reason;  // for whoever asked
};
// One for each NUMA node; not more than `most`, which the model allows, and no more than a quota feeds.
RankChoice ChooseRanks(int64_t most);

}  // namespace quire::worker
