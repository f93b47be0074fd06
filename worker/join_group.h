// A rank's way into its group, by its flags: over shared memory with the ranks of one host (--shm), or over
// TCP with ranks on several (--rendezvous). Used by the composition roots, on the thread that starts the
// rank.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/group_memory.h"
#include "worker/parallel/rank_group.h"
#include "worker/worker_config.h"

namespace quire::worker {

// A variable's value, or null; std::getenv, but for tests.
using Environment = std::function<const char*(const char*)>;

// Before flags are read: in a pod of a Kubernetes LeaderWorkerSet --rank, --ranks and --rendezvous default to
// what LWS_WORKER_INDEX, LWS_GROUP_SIZE and LWS_LEADER_ADDRESS say. InvalidArgument: they say what can't be.
absl::Status TakeLwsDefaults(const Environment& environment, WorkerConfig& config);

// The flags that place a rank, together. InvalidArgument says what to give.
absl::Status CheckPlacement(const WorkerConfig& config);

struct GroupTerms {
  std::shared_ptr<GroupName> shm;  // of a group on one host
  BufferSizes buffers{1 << 20, 1 << 16};
  RankRecord agreement;  // what must be the same for all ranks, beside the buffers
};
// What the ranks on this host keep to exchange tensors and plans, of buffers of these sizes.
int64_t BufferBytesHere(const WorkerConfig& config, const BufferSizes& sizes);
absl::StatusOr<RankGroup> JoinGroup(const WorkerConfig& config, const GroupTerms& terms,
                                    LivenessCallbacks callbacks);

}  // namespace quire::worker
