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

}  // namespace

TransformerRunner::TransformerRunner(const ModelConfig& config, const TransformerOptions& options,
                                     const Shard& shard, kernels::Backend& backend)
    : config_(config), options_(options), shard_(shard), backend_(backend) {}

absl::StatusOr<std::unique_ptr<TransformerRunner>> TransformerRunner::Load(
    const Checkpoint& checkpoint, const TransformerOptions& options, kernels::Backend& backend,
    kernels::Communicator& communicator, const LoadProgress& progress) {
  const ModelConfig& config = checkpoint.config;
  QUIRE_ASSIGN_OR_RETURN(const Shard shard, MakeShard(config, communicator.rank(), communicator.size()));
  auto runner = std::unique_ptr<TransformerRunner>(new TransformerRunner(config, options, shard, backend));
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
      .wanted_rows = options.max_sequences,
      .table_blocks = BlocksFor(config.max_context),
      .sampled_ids = shard.rank == 0 ? sampled_ids : 0,
      .part_ids = std::clamp<int64_t>(sampled_ids - shard.vocab.begin, 0, shard.vocab.size())};
  QUIRE_ASSIGN_OR_RETURN(runner->decoder_,
                         Decoder::Create(config, shard, std::move(weights), limits, backend, communicator));
  return runner;
}

absl::Status TransformerRunner::Launch(const BatchPlan& plan) {
  QUIRE_RETURN_IF_ERROR(CheckPlan(plan));
  specs_.clear();
  if (plan.sequences.empty()) return absl::OkStatus();
  Prepare(plan);
  QUIRE_ASSIGN_OR_RETURN(const kernels::Tensor logits, decoder_->Compute());
  if (logits.rows > 0) backend_.Sample(logits, specs_, decoder_->runs());
  return absl::OkStatus();
}

absl::StatusOr<StepResult> TransformerRunner::Collect() {
  StepResult result;
  if (specs_.empty()) {
    QUIRE_RETURN_IF_ERROR(backend_.Finish());
    return result;
  }
  QUIRE_ASSIGN_OR_RETURN(const std::span<const SampledToken> tokens, backend_.ReadSampled());
  result.tokens.assign(tokens.begin(), tokens.end());
  return result;
}

// A plan may come from another process; what is wrong here would be read as an address below.
absl::Status TransformerRunner::CheckPlan(const BatchPlan& plan) const {
  for (const SequencePlan& sequence : plan.sequences) {
    QUIRE_RETURN_IF_ERROR(CheckSequence(sequence));
    if (sequence.wants_logits && shard_.rank == 0 && sequence.sample == nullptr) {
      return absl::InternalError("a sequence wants logits but has no sampling parameters");
    }
  }
  if (plan.tokens() > options_.max_batch_tokens || std::ssize(plan.sequences) > options_.max_sequences) {
    return absl::InternalError(absl::StrCat("step ", plan.step, " has ", plan.tokens(), " tokens of ",
                                            plan.sequences.size(), " sequences; the model was loaded for ",
                                            options_.max_batch_tokens, " of ", options_.max_sequences));
  }
  return absl::OkStatus();
}

absl::Status TransformerRunner::CheckSequence(const SequencePlan& sequence) const {
  const auto rows = static_cast<int64_t>(sequence.ids.size());
  // The rotary tables end with it, or with the KV cache (LoadWeights).
  const int64_t context = std::min(sequence.scaled_rope ? config_.max_context : config_.plain_context,
                                   options_.kv_blocks * kBlockTokens);
  if (sequence.scaled_rope && !config_.scaled_rope) {
    return absl::InternalError(
        "a sequence wants scaled RoPE but the model was loaded without --rope-scaling");
  }
  if (rows < 1 || sequence.position < 0 || sequence.position > context - rows) {
    return absl::InternalError(absl::StrCat("a sequence of ", rows, " rows at position ", sequence.position,
                                            " leaves the context of ", context));
  }
  if (std::ssize(sequence.blocks) != BlocksFor(sequence.position + rows)) {
    return absl::InternalError("a sequence's block table is not as long as its positions need");
  }
  for (const int32_t block : sequence.blocks) {
    if (block < 0 || block >= options_.kv_blocks) return absl::InternalError("a KV block does not exist");
  }
  for (const TokenId id : sequence.ids) {
    if (id < 0 || id >= config_.vocab)
      return absl::InternalError(absl::StrCat("token id ", id, " does not exist"));
  }
  return absl::OkStatus();
}

void TransformerRunner::Prepare(const BatchPlan& plan) {
  ids_.clear();
  sequences_.clear();
  wanted_rows_.clear();
  needs_.clear();
  const ModelWeights& weights = decoder_->weights();
  for (const SequencePlan& sequence : plan.sequences) {
    const int64_t first_row = std::ssize(ids_), rows = std::ssize(sequence.ids);
    ids_.insert(ids_.end(), sequence.ids.begin(), sequence.ids.end());
    sequences_.push_back({.first_row = first_row,
                          .rows = rows,
                          .position = sequence.position,
                          .blocks = sequence.blocks,
                          .rope = sequence.scaled_rope ? *weights.scaled_rope : weights.rope});
    if (!sequence.wants_logits) continue;
    wanted_rows_.push_back(first_row + rows - 1);
    needs_.push_back(NeedOf(sequence));
    if (shard_.rank == 0) specs_.push_back(sequence.sample);
  }
  decoder_->Prepare({.ids = ids_, .sequences = sequences_, .wanted_rows = wanted_rows_}, needs_);
}

}  // namespace quire::worker
