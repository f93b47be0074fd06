#include "worker/memory_plan.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sampler.h"
#include "worker/model/model_bytes.h"
#include "worker/parallel/plan_codec.h"
#include "worker/parallel/shm_communicator.h"

namespace quire::worker {
namespace {

// What the driver keeps of a GPU for a process: contexts of 0.5 GiB are usual, on small GPUs, too; 1.25 GiB
// of 80. (Below 8 GiB there are tests' GPUs and the smallest of slices.)
int64_t DriversPart(int64_t memory_bytes) {
  return std::max<int64_t>(memory_bytes / 64, std::min<int64_t>(memory_bytes / 16, int64_t{512} << 20));
}

int64_t GroupBytes(const kernels::DeviceScratch& scratch, int64_t ranks) {
  if (ranks <= 1) return 0;
  const int doublings = std::bit_width(static_cast<uint64_t>(ranks - 1));
  return scratch.group_bytes + scratch.group_bytes_per_doubling * doublings;
}

// What a GPU has to hold; the host has to have room for the rest.
absl::StatusOr<KvDemand> OfDevice(const KvDemand& all, const WorkerConfig& config, const ModelConfig& model,
                                  const ModelBytes& bytes, const kernels::DeviceChoice& device) {
  const kernels::DeviceScratch& scratch = device.scratch;
  // Of a token that ranks exchange through the host, where they have to.
  constexpr int64_t kFloat = kernels::BytesOf(kernels::DType::kF32);
  const int64_t staged_bytes = model.hidden * kFloat;
  const int64_t runs = (model.vocab + kernels::kRunIds - 1) / kernels::kRunIds;
  // Of a row of logits: beside its tensors, and on the host, where rows may be exchanged, too.
  const int64_t row_bytes = scratch.row_bytes + scratch.row_bytes_per_run * runs;
  const int64_t host_row_bytes = scratch.host_row_bytes + scratch.host_row_bytes_per_run * runs +
                                 (config.ranks > 1 ? model.vocab * kFloat : 0);
  const SplitDemand split = SplitBetween(
      all,
      {// A group that is to be taken over, or replaced, still holds what a check would count as taken; what
       // the driver keeps of a GPU for each process no rank gets, and so no check may count on it.
       .memory_bytes =
           config.check ? device.memory_bytes - DriversPart(device.memory_bytes) : device.free_bytes,
       .fixed_bytes = scratch.fixed_bytes + scratch.bytes_per_hidden * model.hidden +
                      GroupBytes(scratch, config.ranks) +
                      SchedulerLimits::kScoredRows * (bytes.wanted_row + row_bytes),
       .scratch_token_bytes = scratch.token_bytes_per_ffn * model.ffn,
       .scratch_sequence_bytes = SchedulerLimits::kWantedRows * row_bytes,
       .host_token_bytes =
           bytes.input_token + scratch.host_token_bytes + (config.ranks > 1 ? staged_bytes : 0),
       .host_sequence_bytes = 2 * bytes.counts,
       .staging_bytes = scratch.host_fixed_bytes + SchedulerLimits::kScoredRows * host_row_bytes,
       .staging_sequence_bytes = SchedulerLimits::kWantedRows * host_row_bytes + scratch.host_sequence_bytes +
                                 scratch.host_block_bytes * BlocksFor(model.max_context)});
  const absl::Status host = PlanKvBlocks(split.host).status();
  if (host.ok()) return split.device;
  return absl::Status(host.code(), absl::StrCat("of the host's memory, beside the GPU's: ", MessageOf(host)));
}

}  // namespace

BufferSizes BuffersFor(const WorkerConfig& config, const ModelConfig& model) {
  if (config.ranks == 1) return BufferSizes{1, 1};  // nothing is exchanged
  return BufferSizes{ExchangeBytesFor(config.limits.max_batch_tokens, model.hidden),
                     PlanBytesFor(PlanLimitsFor(config.limits, model.max_context))};
}

absl::StatusOr<KvPlan> PlanRankMemory(const WorkerConfig& config, const Checkpoint& checkpoint,
                                      int64_t tokenizer_size, const kernels::DeviceChoice& device) {
  const ModelConfig& model = checkpoint.config;
  const auto ranks = static_cast<int>(config.ranks), rank = static_cast<int>(config.rank);
  const bool on_device = device.memory_bytes > 0;
  const bool alone = on_device || config.ranks_here() < ranks;
  const std::optional<int> only = alone ? std::optional(rank) : std::nullopt;
  QUIRE_ASSIGN_OR_RETURN(const ModelBytes bytes, CountModelBytes(model, ranks, only));
  KvDemand demand;
  demand.asked_blocks = config.kv_blocks;
  demand.block_bytes = bytes.kv_block;
  demand.weight_bytes = bytes.weights;
  demand.max_context = model.max_context;
  demand.max_batch_tokens = config.limits.max_batch_tokens;
  demand.scored_rows = SchedulerLimits::kScoredRows;
  demand.token_bytes = bytes.token + bytes.input_token;
  // A slot counts its tokens, and the plan that opens it says what it begins with: beside the counts of each
  // open request.
  demand.sequence_bytes = SchedulerLimits::kWantedRows * bytes.wanted_row + bytes.sequence + 2 * bytes.counts;
  demand.request_bytes = bytes.counts;
  demand.max_sequences = config.limits.max_sequences;
  demand.sampler_bytes =
      std::min(config.threads, config.limits.wanted_rows()) * kernels::Sampler::BytesFor(tokenizer_size) +
      SchedulerLimits::kScoredRows * bytes.wanted_row;
  demand.exchange_bytes = BufferBytesHere(config, BuffersFor(config, model));
  QUIRE_ASSIGN_OR_RETURN(demand.load_bytes, CountLoadBytes(*checkpoint.files, model, ranks, only));
  demand.memory_bytes = ReadHostMemory() / config.host_groups;
  if (on_device) {
    demand.memory_bytes /= config.ranks_here();
    QUIRE_ASSIGN_OR_RETURN(demand, OfDevice(demand, config, model, bytes, device));
  }
  absl::StatusOr<KvPlan> plan = PlanKvBlocks(demand);
  if (plan.ok() || config.check || !on_device || device.free_bytes == device.memory_bytes) return plan;
  return absl::Status(plan.status().code(),
                      absl::StrCat(MessageOf(plan.status()), "; of the GPU's ", device.memory_bytes >> 20,
                                   " MiB ", (device.memory_bytes - device.free_bytes) >> 20,
                                   " were taken before (nvidia-smi says by whom)"));
}

}  // namespace quire::worker
