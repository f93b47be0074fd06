#include "worker/memory_plan.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/sampling/sampler.h"
#include "worker/model/model_bytes.h"

namespace quire::worker {
namespace {

// What a GPU has to hold; the host has to have room for the rest.
absl::StatusOr<KvDemand> OfDevice(const KvDemand& all, const WorkerConfig& config, const ModelConfig& model,
                                  const ModelBytes& bytes, const kernels::DeviceChoice& device) {
  const kernels::DeviceScratch& scratch = device.scratch;
  const SplitDemand split = SplitBetween(
      all,
      {// A group that is to be taken over, or replaced, still holds what a check would count as taken.
       .memory_bytes = config.check ? device.memory_bytes : device.free_bytes,
       .fixed_bytes = scratch.fixed_bytes + scratch.bytes_per_hidden * model.hidden,
       .scratch_token_bytes = scratch.token_bytes_per_ffn * model.ffn,
       .host_token_bytes = bytes.input_token,
       .host_sequence_bytes = 2 * bytes.counts,
       .read_back_bytes =
           SchedulerLimits::kWantedRows * model.vocab * kernels::BytesOf(kernels::DType::kF32)});
  const absl::Status host = PlanKvBlocks(split.host).status();
  if (host.ok()) return split.device;
  return absl::Status(host.code(), absl::StrCat("of the host's memory, beside the GPU's: ", MessageOf(host)));
}

}  // namespace

absl::StatusOr<KvPlan> PlanRankMemory(const WorkerConfig& config, const Checkpoint& checkpoint,
                                      int64_t tokenizer_size, const BufferSizes& buffers,
                                      const kernels::DeviceChoice& device) {
  const ModelConfig& model = checkpoint.config;
  const auto ranks = static_cast<int>(config.ranks), rank = static_cast<int>(config.rank);
  const std::optional<int> only = config.ranks_here() < ranks ? std::optional(rank) : std::nullopt;
  QUIRE_ASSIGN_OR_RETURN(const ModelBytes bytes, CountModelBytes(model, ranks, only));
  KvDemand demand;
  demand.asked_blocks = config.kv_blocks;
  demand.block_bytes = bytes.kv_block;
  demand.weight_bytes = bytes.weights;
  demand.max_context = model.max_context;
  demand.max_batch_tokens = config.limits.max_batch_tokens;
  demand.token_bytes = bytes.token + bytes.input_token;
  // A slot counts its tokens, and the plan that opens it says what it begins with: beside the counts of each
  // open request.
  demand.sequence_bytes = SchedulerLimits::kWantedRows * bytes.wanted_row + bytes.sequence + 2 * bytes.counts;
  demand.request_bytes = bytes.counts;
  demand.max_sequences = config.limits.max_sequences;
  demand.sampler_bytes =
      std::min(config.threads, demand.max_sequences) * kernels::Sampler::BytesFor(tokenizer_size);
  demand.exchange_bytes = BufferBytesHere(config, buffers);
  QUIRE_ASSIGN_OR_RETURN(demand.load_bytes, CountLoadBytes(*checkpoint.files, model, ranks, only));
  demand.memory_bytes = ReadHostMemory() / config.host_groups;
  if (device.memory_bytes > 0) {
    QUIRE_ASSIGN_OR_RETURN(demand, OfDevice(demand, config, model, bytes, device));
  }
  return PlanKvBlocks(demand);
}

}  // namespace quire::worker
