// How many KV blocks a group gets, and whether its limits fit into memory at all. Every rank computes it for
// itself; the least of all ranks counts (worker.cc). Pure, but for ReadHostMemory.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace quire::worker {

// Requests that a group has open for each sequence that may run: as many wait beside them.
inline constexpr int64_t kOpenPerSequence = 2;

struct KvDemand {
  int64_t asked_blocks = 0;   // --kv-blocks; 0 = from memory
  int64_t block_bytes = 0;    // of all ranks together
  int64_t weight_bytes = 0;   // of all ranks together
  int64_t max_context = 0;    // tokens
  int64_t max_sequences = 0;  // more blocks than these need at full length are of no use
  int64_t max_batch_tokens = 0;
  int64_t scored_rows = 0;  // beside one of each sequence; a batch of fewer tokens has their room, too
  // Scratch memory of all ranks, for each token of a batch and for each sequence.
  int64_t token_bytes = 0, sequence_bytes = 0;
  int64_t request_bytes = 0;   // of what is kept of each open request, also while it waits
  int64_t sampler_bytes = 0;   // of all threads that sample, and of rows that are scored
  int64_t exchange_bytes = 0;  // of what crosses between ranks
  int64_t load_bytes = 0;    // beside the weights, of all ranks while they load; gone before blocks are used
  int64_t memory_bytes = 0;  // this group's share of the host's memory, or of the container's
  bool memory_is_ours = false;  // a device's own: blocks may take all that is left
};

// What of a demand a device with memory of its own holds, and what the host does.
struct DeviceShare {
  int64_t memory_bytes = 0, fixed_bytes = 0;  // there is; the backend takes beside all that is counted
  // The backend's own, for each token of a batch and for each sequence.
  int64_t scratch_token_bytes = 0, scratch_sequence_bytes = 0;
  // The host's: of a token's bytes; of a sequence's.
  int64_t host_token_bytes = 0, host_sequence_bytes = 0;
  // Where data wait for the way between both: beside all that is counted, and for each sequence.
  int64_t staging_bytes = 0, staging_sequence_bytes = 0;
};
struct SplitDemand {
  KvDemand device, host;  // of the host's the blocks don't count
};
SplitDemand SplitBetween(const KvDemand& all, const DeviceShare& share);

struct KvPlan {
  int32_t blocks = 0;
  std::string summary;  // for the log
};

// FailedPrecondition, with the number that is too large and the one that would do, where memory can't hold
// weights, scratch memory and blocks.
absl::StatusOr<KvPlan> PlanKvBlocks(const KvDemand& demand);

// Of the machine, or what the process's cgroup, or one around it, allows where that is less. `root` holds
// proc and sys.
int64_t ReadHostMemory(const std::string& root = "");

}  // namespace quire::worker
