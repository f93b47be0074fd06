// The forward pass of every architecture, written once over Backend and Communicator: embedding, layers,
// final norm and the logits of the rows that are wanted, as far as sampling needs them (row_gather.h). One
// per rank, called by the engine thread; all ranks call Prepare with the same inputs, then Compute.
// Everything it needs is allocated by Create.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "worker/model/row_gather.h"
#include "worker/model/weights.h"

namespace quire::worker {

// Sized by the limits; a step uses their first rows. hidden, q and ffn are this rank's widths where they are
// split.
struct DecoderScratch {
  kernels::Tensor x, delta;      // fp32 [tokens, hidden]: the residual stream and what is to be added to it
  kernels::Tensor normed;        // bf16 [tokens, hidden]
  kernels::Tensor qkv;           // fp32 [tokens, q + 2 kv]
  kernels::Tensor q, attention;  // bf16 [tokens, q]
  kernels::Tensor activation;    // bf16 [tokens, ffn]
  kernels::Tensor wanted_x;      // fp32 [wanted, hidden]
  kernels::Tensor wanted_attention;  // bf16 [wanted, q]
  kernels::Tensor logits;  // fp32 [wanted, this rank's vocabulary]; on rank 0 what the others have behind it
};

// What a rank's scratch takes for each token of the largest batch and for each wanted row: of the table from
// which Create allocates.
struct ScratchBytes {
  int64_t token = 0, wanted_row = 0;
};
ScratchBytes CountScratch(const ModelConfig& config, const Shard& shard);

class Decoder {
 public:
  // `backend` (already holding `weights` and the KV cache) and `communicator` outlive the decoder.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const ModelConfig& config, const Shard& shard,
                                                         ModelWeights weights,
                                                         const kernels::StepLimits& limits,
                                                         kernels::Backend& backend,
                                                         kernels::Communicator& communicator);

  // Hands the step to the backend: token i stands in row i of every tensor. At least one token. `needs`: of
  // each wanted row, the same on all ranks; whole rows where there are none.
  void Prepare(const kernels::StepInputs& inputs, std::span<const kernels::RowNeed> needs = {});
  // Runs it. On rank 0 the logits fp32 [wanted_rows, vocab], valid until the next Compute; elsewhere an empty
  // tensor.
  absl::StatusOr<kernels::Tensor> Compute();
  // What there is of each of its rows, for Sample.
  std::span<const kernels::RowRuns> runs() const { return gather_->runs(); }

  const ModelWeights& weights() const { return weights_; }

 private:
  Decoder(const ModelConfig& config, const Shard& shard, ModelWeights weights, kernels::Backend& backend,
          kernels::Communicator& communicator);
  absl::Status AllocateScratch(kernels::StepLimits limits);
  // Every one that Compute issues, of layers that are all alike.
  std::vector<kernels::StepMatmul> Matmuls(int64_t tokens, int64_t wanted_rows) const;
  // Every op of the step, in order; what follows from the bucket alone.
  absl::Status RunLayers();
  // Of the wanted rows, after the last attention.
  absl::Status FinishWanted();
  // Reads scratch_.normed, leaves the attention's output in scratch_.attention.
  void Attend(int64_t layer);
  // Output projection and FFN on `rows` rows of the residual `x`: x gets the attention's part, scratch_.delta
  // the FFN's.
  absl::Status ProjectAndFeedForward(const LayerWeights& layer, kernels::Tensor x, kernels::Tensor attention);
  void Logits(kernels::Tensor x);
  // Those that this rank computes.
  kernels::Tensor OwnLogits(int64_t rows) const;
  absl::Status AllReduce(kernels::Tensor x);

  const ModelConfig config_;
  const Shard shard_;
  const ModelWeights weights_;
  kernels::Backend& backend_;
  kernels::Communicator& communicator_;
  DecoderScratch scratch_;
  std::optional<RowGather> gather_;  // set by Create
  // Of the step.
  kernels::StepBucket bucket_;
  int64_t wanted_ = 0;
  std::vector<kernels::RowNeed> needs_;
};

}  // namespace quire::worker
