#include "worker/model/model_bytes.h"

#include "base/core/status.h"
#include "worker/model/decoder.h"
#include "worker/model/shard.h"
#include "worker/model/weight_plan.h"
#include "worker/model/weights.h"

namespace quire::worker {

absl::StatusOr<ModelBytes> CountModelBytes(const ModelConfig& config, int ranks) {
  ModelBytes bytes;
  for (int rank = 0; rank < ranks; ++rank) {
    QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(config, rank, ranks));
    const ScratchBytes scratch = CountScratch(config, shard);
    bytes.weights += PlanWeights(config, shard).bytes() + RopeTableBytes(config, config.max_context);
    bytes.kv_block += KvBlockBytes(config, shard);
    bytes.token += scratch.token;
    bytes.wanted_row += scratch.wanted_row;
  }
  return bytes;
}

}  // namespace quire::worker
