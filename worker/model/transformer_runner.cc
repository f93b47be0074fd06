#include "worker/model/transformer_runner.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"
#include "worker/model/rope.h"

namespace quire::worker {
namespace {

int64_t SampledIds(const ModelConfig& config, const TransformerOptions& options) {
  return options.tokenizer_size > 0 ? std::min(options.tokenizer_size, config.vocab) : config.vocab;
}

std::string NumericsId(const Checkpoint& checkpoint, int64_t sampled_ids, const Shard& shard,
                       const kernels::Backend& backend) {
  const ModelConfig& config = checkpoint.config;
  const Digest digest = Sha256(checkpoint.config_json + ToBytes(checkpoint.sample));
  std::string id = absl::StrCat(ToHex(digest).substr(0, 16), "/", WeightsName(config), "/", SumsName(shard),
                                "/", backend.family(), "/ids=", sampled_ids, "/rope=", RopeName(config.rope));
  if (config.scaled_rope) absl::StrAppend(&id, "+", RopeName(*config.scaled_rope));
  return id;
}

SlotLimits LimitsOf(const ModelConfig& config, const TransformerOptions& options, const Shard& shard,
                    bool runs_ahead) {
  // The rotary tables end with the context, or with the KV cache (LoadWeights).
  const int64_t positions = options.kv_blocks * kBlockTokens;
  return {.slots = options.max_sequences,
          .batch_tokens = options.max_batch_tokens,
          .wanted_rows = options.max_wanted_rows,
          .kv_blocks = options.kv_blocks,
          .token_ids = config.vocab,
          .plain_context = std::min(config.plain_context, positions),
          .scaled_context = config.scaled_rope ? std::min(config.max_context, positions) : 0,
          .adapters = 0,
          .samples = shard.rank == 0,
          .ids_on_device = runs_ahead};
}

}  // namespace

TransformerRunner::TransformerRunner(const ModelConfig& config, const TransformerOptions& options,
                                     const Shard& shard, kernels::Backend& backend,
                                     kernels::Communicator& communicator)
    : config_(config),
      backend_(backend),
      communicator_(communicator),
      runs_ahead_(options.steps_ahead && CanRunAhead(backend, communicator)),
      slots_(LimitsOf(config, options, shard, runs_ahead_)) {}

absl::StatusOr<std::unique_ptr<TransformerRunner>> TransformerRunner::Load(
    const Checkpoint& checkpoint, const TransformerOptions& options, kernels::Backend& backend,
    kernels::Communicator& communicator, const LoadProgress& progress) {
  const ModelConfig& config = checkpoint.config;
  QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(config, communicator.rank(), communicator.size()));
  auto runner = std::unique_ptr<TransformerRunner>(
      new TransformerRunner(config, options, shard, backend, communicator));
  runner->numerics_id_ = NumericsId(checkpoint, SampledIds(config, options), shard, backend);
  const LoadOptions load{.max_positions = int64_t{options.kv_blocks} * kBlockTokens,
                         .threads = options.load_threads,
                         .whole_rows = options.ranks_share_a_disk,
                         .progress = progress};
  QUIRE_ASSIGN_OR_RETURN(ModelWeights weights,
                         LoadWeights(*checkpoint.files, config, PlanWeights(config, shard), load, backend));
  QUIRE_RETURN_IF_ERROR(backend.CreateKvCache({.layers = config.layers,
                                               .blocks = options.kv_blocks,
                                               .kv_heads = shard.kv_heads.size(),
                                               .head_dim = config.head_dim,
                                               .query_heads = shard.query_heads.size()}));
  const int64_t sampled_ids = SampledIds(config, options);
  const kernels::StepLimits limits{
      .tokens = options.max_batch_tokens,
      .sequences = options.max_sequences,
      .wanted_rows = options.max_wanted_rows,
      .table_blocks = BlocksFor(config.max_context),
      .sampled_ids = shard.rank == 0 ? sampled_ids : 0,
      .part_ids = std::clamp<int64_t>(sampled_ids - shard.vocab.begin, 0, shard.vocab.size())};
  QUIRE_ASSIGN_OR_RETURN(runner->decoder_,
                         Decoder::Create(config, shard, std::move(weights), limits, backend, communicator));
  return runner;
}

absl::Status TransformerRunner::Launch(const BatchPlan& plan) {
  QUIRE_RETURN_IF_ERROR(slots_.Apply(plan));
  if (!slots_.copies().empty()) backend_.CopyBlocks(slots_.copies());
  // The plan says it to all ranks alike.
  if (!slots_.sampled().empty() && communicator_.size() > 1) {
    QUIRE_RETURN_IF_ERROR(communicator_.Broadcast(backend_.sampled_ids()));
  }
  kernels::Tensor logits;
  if (!plan.sequences.empty()) {
    Prepare(plan);
    QUIRE_ASSIGN_OR_RETURN(logits, decoder_->Compute());
  }
  if (logits.rows > 0 || runs_ahead_) backend_.Sample(logits, slots_.specs(), decoder_->runs());
  return absl::OkStatus();
}

absl::StatusOr<StepResult> TransformerRunner::Collect() {
  StepResult result;
  if (slots_.specs().empty() && !runs_ahead_) {
    QUIRE_RETURN_IF_ERROR(backend_.Finish());
  } else {
    QUIRE_ASSIGN_OR_RETURN(const std::span<const SampledToken> tokens, backend_.ReadSampled());
    result.tokens.assign(tokens.begin(), tokens.end());
  }
  QUIRE_RETURN_IF_ERROR(communicator_.Check());
  slots_.Collect(result);
  return result;
}

void TransformerRunner::Prepare(const BatchPlan& plan) {
  sequences_.clear();
  const ModelWeights& weights = decoder_->weights();
  for (const SlotRows& rows : slots_.sequences()) {
    sequences_.push_back({.first_row = rows.first_row,
                          .rows = rows.rows,
                          .position = rows.position,
                          .blocks = rows.table.subspan(rows.kept),
                          .rope = rows.scaled_rope ? *weights.scaled_rope : weights.rope,
                          .slot = rows.slot,
                          .kept = rows.kept});
  }
  wanted_rows_.clear();
  needs_.clear();
  for (const WantedRow& wanted : plan.wanted) {
    wanted_rows_.push_back(wanted.row);
    needs_.push_back(wanted.need);
  }
  decoder_->Prepare({.ids = slots_.ids(),
                     .sequences = sequences_,
                     .wanted_rows = wanted_rows_,
                     .sampled = slots_.sampled()},
                    needs_);
}

}  // namespace quire::worker
