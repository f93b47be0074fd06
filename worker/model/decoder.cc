#include "worker/model/decoder.h"

#include "base/core/status.h"

namespace quire::worker {

using kernels::DType;
using kernels::Tensor;

namespace {

enum class Rows : uint8_t { kTokens, kWanted };

struct ScratchTensor {
  Tensor DecoderScratch::*tensor;
  DType dtype;
  Rows rows;
  int64_t cols;
};

std::vector<ScratchTensor> ScratchTable(const ModelConfig& config, const Shard& shard) {
  using Scratch = DecoderScratch;
  const int64_t hidden = config.hidden;
  const int64_t q = shard.query_heads.size() * config.head_dim, kv = shard.kv_heads.size() * config.head_dim;
  std::vector<ScratchTensor> table = {{&Scratch::x, DType::kF32, Rows::kTokens, hidden},
                                      {&Scratch::delta, DType::kF32, Rows::kTokens, hidden},
                                      {&Scratch::normed, DType::kBf16, Rows::kTokens, hidden},
                                      {&Scratch::qkv, DType::kF32, Rows::kTokens, q + 2 * kv},
                                      {&Scratch::q, DType::kBf16, Rows::kTokens, q},
                                      {&Scratch::attention, DType::kBf16, Rows::kTokens, q},
                                      {&Scratch::activation, DType::kBf16, Rows::kTokens, shard.ffn.size()},
                                      {&Scratch::wanted_x, DType::kF32, Rows::kWanted, hidden},
                                      {&Scratch::wanted_attention, DType::kBf16, Rows::kWanted, q}};
  // Rank 0's own part is the beginning of the whole rows.
  const int64_t ids = shard.rank == 0 ? config.vocab : shard.vocab.size();
  table.push_back({&Scratch::logits, DType::kF32, Rows::kWanted, ids});
  return table;
}

}  // namespace

ScratchBytes CountScratch(const ModelConfig& config, const Shard& shard) {
  ScratchBytes bytes;
  for (const ScratchTensor& entry : ScratchTable(config, shard)) {
    (entry.rows == Rows::kTokens ? bytes.token : bytes.wanted_row) +=
        kernels::BytesOf(entry.dtype) * entry.cols;
  }
  return bytes;
}

Decoder::Decoder(const ModelConfig& config, const Shard& shard, ModelWeights weights,
                 kernels::Backend& backend, kernels::Communicator& communicator)
    : config_(config),
      shard_(shard),
      weights_(std::move(weights)),
      backend_(backend),
      communicator_(communicator) {}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelConfig& config, const Shard& shard,
                                                         ModelWeights weights,
                                                         const kernels::StepLimits& limits,
                                                         kernels::Backend& backend,
                                                         kernels::Communicator& communicator) {
  auto decoder =
      std::unique_ptr<Decoder>(new Decoder(config, shard, std::move(weights), backend, communicator));
  QUIRE_RETURN_IF_ERROR(decoder->AllocateScratch(limits));
  std::vector<Range> vocab;
  for (int rank = 0; rank < shard.ranks; ++rank) {
    QUIRE_ASSIGN_OR_RETURN(const Shard other, MakeShard(config, rank, shard.ranks));
    vocab.push_back(other.vocab);
  }
  decoder->gather_.emplace(vocab, limits, backend, communicator);
  return decoder;
}

absl::Status Decoder::AllocateScratch(kernels::StepLimits limits) {
  limits.tokens = std::max(limits.tokens, limits.wanted_rows);  // these go through tensors of those
  for (const ScratchTensor& entry : ScratchTable(config_, shard_)) {
    const int64_t rows = entry.rows == Rows::kTokens ? limits.tokens : limits.wanted_rows;
    QUIRE_ASSIGN_OR_RETURN(scratch_.*entry.tensor, backend_.Allocate(entry.dtype, rows, entry.cols));
  }
  QUIRE_RETURN_IF_ERROR(backend_.ReserveStep(limits));
  return backend_.PrepareMatmuls(Matmuls(limits.tokens, limits.wanted_rows));
}

std::vector<kernels::StepMatmul> Decoder::Matmuls(int64_t tokens, int64_t wanted_rows) const {
  const LayerWeights& layer = weights_.layers[0];
  std::vector<kernels::StepMatmul> matmuls = {
      {layer.qkv, scratch_.normed.Rows(tokens), scratch_.qkv.Rows(tokens)}};
  for (const auto& [rows, attention] :
       {std::pair(tokens, scratch_.attention), std::pair(wanted_rows, scratch_.wanted_attention)}) {
    matmuls.push_back({layer.o, attention.Rows(rows), scratch_.delta.Rows(rows)});
    matmuls.push_back({layer.gate_up, scratch_.normed.Rows(rows), scratch_.activation.Rows(rows)});
    matmuls.push_back({layer.down, scratch_.activation.Rows(rows), scratch_.delta.Rows(rows)});
  }
  matmuls.push_back({weights_.lm_head, scratch_.normed.Rows(wanted_rows), OwnLogits(wanted_rows)});
  return matmuls;
}

void Decoder::Prepare(const kernels::StepInputs& inputs, std::span<const kernels::RowNeed> needs) {
  bucket_ = backend_.BeginStep(inputs);
  wanted_ = std::ssize(inputs.wanted_rows);
  needs_.assign(needs.begin(), needs.end());
}

absl::StatusOr<Tensor> Decoder::Compute() {
  QUIRE_RETURN_IF_ERROR(backend_.Run(bucket_, [this] { return RunLayers(); }));
  if (wanted_ == 0) return Tensor{};
  if (shard_.ranks > 1) QUIRE_RETURN_IF_ERROR(gather_->Gather(OwnLogits(wanted_), needs_));
  return shard_.rank == 0 ? scratch_.logits.Rows(wanted_) : Tensor{};
}

Tensor Decoder::OwnLogits(int64_t rows) const {
  return scratch_.logits.Rows(rows).Columns(shard_.vocab.size());
}

absl::Status Decoder::RunLayers() {
  const auto eps = static_cast<float>(config_.rms_eps);
  const Tensor x = scratch_.x.Rows(bucket_.tokens), delta = scratch_.delta.Rows(bucket_.tokens);
  const Tensor normed = scratch_.normed.Rows(bucket_.tokens);
  backend_.Embed(weights_.embedding, shard_.vocab.begin, x);
  QUIRE_RETURN_IF_ERROR(AllReduce(x));
  backend_.RmsNorm(x, weights_.layers[0].input_norm, eps, normed);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const LayerWeights& layer_weights = weights_.layers[layer];
    if (layer > 0) backend_.AddRmsNorm(x, delta, layer_weights.input_norm, eps, normed);
    Attend(layer);
    if (layer + 1 == config_.layers) break;
    QUIRE_RETURN_IF_ERROR(ProjectAndFeedForward(layer_weights, x, scratch_.attention.Rows(bucket_.tokens)));
  }
  // After the last attention nobody reads the other rows any more.
  return bucket_.wanted_rows == 0 ? absl::OkStatus() : FinishWanted();
}

absl::Status Decoder::FinishWanted() {
  const Tensor x = scratch_.wanted_x.Rows(bucket_.wanted_rows);
  const Tensor attention = scratch_.wanted_attention.Rows(bucket_.wanted_rows);
  backend_.GatherWanted(scratch_.x.Rows(bucket_.tokens), x);
  backend_.GatherWanted(scratch_.attention.Rows(bucket_.tokens), attention);
  QUIRE_RETURN_IF_ERROR(ProjectAndFeedForward(weights_.layers.back(), x, attention));
  Logits(x);
  return absl::OkStatus();
}

void Decoder::Attend(int64_t layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const Tensor qkv = scratch_.qkv.Rows(bucket_.tokens), q = scratch_.q.Rows(bucket_.tokens);
  backend_.Matmul(scratch_.normed.Rows(bucket_.tokens), weights.qkv, weights.qkv_bias, qkv);
  backend_.RopeAndStore(qkv, layer, weights.head_norms, q);
  backend_.Attention(q, layer, scratch_.attention.Rows(bucket_.tokens));
}

absl::Status Decoder::ProjectAndFeedForward(const LayerWeights& layer, Tensor x, Tensor attention) {
  const Tensor delta = scratch_.delta.Rows(x.rows), normed = scratch_.normed.Rows(x.rows);
  const Tensor activation = scratch_.activation.Rows(x.rows);
  backend_.Matmul(attention, layer.o, kernels::kNoBias, delta);
  QUIRE_RETURN_IF_ERROR(AllReduce(delta));
  backend_.AddRmsNorm(x, delta, layer.post_attention_norm, static_cast<float>(config_.rms_eps), normed);
  backend_.MatmulSiluMul(normed, layer.gate_up, activation);
  backend_.Matmul(activation, layer.down, kernels::kNoBias, delta);
  return AllReduce(delta);
}

void Decoder::Logits(Tensor x) {
  const Tensor normed = scratch_.normed.Rows(x.rows);
  backend_.AddRmsNorm(x, scratch_.delta.Rows(x.rows), weights_.final_norm,
                      static_cast<float>(config_.rms_eps), normed);
  backend_.Matmul(normed, weights_.lm_head, kernels::kNoBias, OwnLogits(x.rows));
}

absl::Status Decoder::AllReduce(Tensor x) {
  return shard_.ranks == 1 ? absl::OkStatus() : communicator_.AllReduceSum(x);
}

}  // namespace quire::worker
