// What a rank's memory has to hold, counted from its flags and its checkpoint, and the KV blocks that leaves
// room for: the numbers that kv_plan.h plans with. Called once at start-up, before weights are read.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/backend_factory.h"
#include "worker/join_group.h"
#include "worker/kv_plan.h"
#include "worker/model/checkpoint.h"
#include "worker/worker_config.h"

namespace quire::worker {

// What the ranks of a group exchange through the host.
BufferSizes BuffersFor(const WorkerConfig& config, const ModelConfig& model);

// Of this rank, or of all ranks of the group where they share this host's memory. `device`: where it
// computes; with memory of its own that holds weights and blocks, and the host the rest. Errors:
// PlanKvBlocks' and CountModelBytes'.
absl::StatusOr<KvPlan> PlanRankMemory(const WorkerConfig& config, const Checkpoint& checkpoint,
                                      int64_t tokenizer_size, const kernels::DeviceChoice& device);

}  // namespace quire::worker
