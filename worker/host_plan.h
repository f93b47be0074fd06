// What a host comes to before anything starts: where a model is computed, over how many ranks, in how many
// groups, and which GPUs are whose. --check answers with it, for `quire serve`; a rank alone is told which
// device is its own. Called by the thread that starts the rank.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend_factory.h"
#include "worker/model/checkpoint.h"
#include "worker/worker_config.h"

namespace quire::worker {

struct HostPlan {
  int64_t ranks = 1, groups = 1;
  kernels::DeviceChoice device;    // of the rank with the least memory
  std::string reason;              // of these numbers, for people
  std::vector<std::string> gpus;   // each group's, one after another, by rank; empty: on the CPU
  std::vector<std::string> notes;  // for people: what stays unused, and why
  std::string Json() const;        // in one line
};

// Where `config` leaves ranks or groups (0) to us, they are chosen. Errors: ListGpus', PlanOnGpus'.
absl::StatusOr<HostPlan> PlanHost(const WorkerConfig& config, const Checkpoint& checkpoint);

// On these, which ListGpus has found. Errors: ChooseGpuGroups', PlanRankMemory's.
absl::StatusOr<HostPlan> PlanOnGpus(const WorkerConfig& config, const Checkpoint& checkpoint,
                                    const std::vector<kernels::DeviceChoice>& gpus);

// Of this rank.
absl::StatusOr<kernels::DeviceChoice> FindDevice(const WorkerConfig& config, const ModelConfig& model);

}  // namespace quire::worker
