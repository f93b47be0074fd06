#include "worker/model/model_bytes.h"

#include "base/core/hash.h"
#include "base/core/status.h"
#include "kernels/host_step.h"
#include "kernels/sampling/token_counts.h"
#include "worker/engine/slot_table.h"
#include "worker/model/decoder.h"
#include "worker/model/shard.h"
#include "worker/model/weight_plan.h"
#include "worker/model/weights.h"

namespace quire::worker {

absl::StatusOr<ModelBytes> CountModelBytes(const ModelConfig& config, int ranks, std::optional<int> only) {
  ModelBytes bytes;
  // Rank 0 samples, so it counts.
  if (only.value_or(0) == 0) bytes.counts = kernels::TokenCounts::BytesFor(config.max_context, config.vocab);
  const int64_t table_blocks = BlocksFor(config.max_context);
  for (int rank = only.value_or(0); rank < (only ? *only + 1 : ranks); ++rank) {
    QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(config, rank, ranks));
    const ScratchBytes scratch = CountScratch(config, shard);
    bytes.weights += PlanWeights(config, shard).bytes() + RopeTableBytes(config, config.max_context);
    bytes.kv_block += KvBlockBytes(config, shard);
    bytes.token += scratch.token;
    bytes.wanted_row += scratch.wanted_row;
    bytes.input_token += kernels::HostStep::BytesFor({.tokens = 1});
    bytes.wanted_row += kernels::HostStep::BytesFor({.wanted_rows = 1});
    bytes.sequence += kernels::HostStep::BytesFor({.sequences = 1, .table_blocks = table_blocks}) +
                      SlotTable::BytesFor(1, config.max_context);
  }
  return bytes;
}

absl::StatusOr<int64_t> CountLoadBytes(const Safetensors& files, const ModelConfig& config, int ranks,
                                       std::optional<int> only) {
  int64_t bytes = 0;
  for (int rank = only.value_or(0); rank < (only ? *only + 1 : ranks); ++rank) {
    QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(config, rank, ranks));
    bytes += LoadBytes(files, PlanWeights(config, shard));
  }
  return bytes;
}

}  // namespace quire::worker
