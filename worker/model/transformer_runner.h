// The ModelRunner of a real model: one rank's shard of a checkpoint on one Backend. Load reads the rank's
// slices; Launch runs a plan through the decoder and, on rank 0, the sampler; Collect waits for its tokens.
// It runs ahead where its backend does and, of several ranks, its communicator, and all ranks can
// (TransformerOptions): then Launch only enqueues. Called by the rank's engine thread only, except the const
// accessors. All device memory is allocated by Load.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "worker/engine/model_runner.h"
#include "worker/engine/slot_table.h"
#include "worker/model/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/model/model_config.h"
#include "worker/model/shard.h"
#include "worker/model/weights.h"

namespace quire::worker {

struct TransformerOptions {
  int64_t kv_blocks = 0;  // equal on all ranks; KvBlockBytes says what one costs
  int64_t max_batch_tokens = 512;
  int64_t max_sequences = 64;
  int64_t max_wanted_rows = 64;  // of a step
  int64_t tokenizer_size = 0;    // ids from here on are never sampled; 0 = the vocabulary's size
  bool steps_ahead = true;       // where this rank can; false where another one can't
  // How the weights are loaded (LoadOptions).
  int load_threads = 1;
  bool ranks_share_a_disk = false;
};

class TransformerRunner final : public ModelRunner {
 public:
  // `backend` and `communicator` (whose rank and size place the shard) outlive the runner.
  // Nothing of `checkpoint` is needed afterwards.
  static absl::StatusOr<std::unique_ptr<TransformerRunner>> Load(const Checkpoint& checkpoint,
                                                                 const TransformerOptions& options,
                                                                 kernels::Backend& backend,
                                                                 kernels::Communicator& communicator,
                                                                 const LoadProgress& progress = nullptr);

  // Whether a rank on these can run ahead.
  static bool CanRunAhead(const kernels::Backend& backend, const kernels::Communicator& communicator) {
    return backend.runs_ahead() && (communicator.size() == 1 || communicator.runs_ahead());
  }
  bool runs_ahead() const override { return runs_ahead_; }
  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;

  // Equal strings promise equal tokens (ARCHITECTURE 5.2): weights digest, their format, order of the
  // sums that ranks share, kernel family, how many ids are sampled from, RoPE. The digest is of config.json,
  // the tensors' names and shapes, and samples of their bytes.
  const std::string& numerics_id() const { return numerics_id_; }
  const ModelConfig& config() const { return config_; }
  // Of this rank's slices, padding not counted.
  int64_t weight_bytes() const { return backend_.weight_stats().bytes; }

 private:
  TransformerRunner(const ModelConfig& config, const TransformerOptions& options, const Shard& shard,
                    kernels::Backend& backend, kernels::Communicator& communicator);
  void Prepare(const BatchPlan& plan);

  const ModelConfig config_;
  kernels::Backend& backend_;
  kernels::Communicator& communicator_;
  const bool runs_ahead_;
  std::string numerics_id_;
  std::unique_ptr<Decoder> decoder_;
  SlotTable slots_;
  // Of the step between Launch and Collect.
  std::vector<kernels::SequenceRows> sequences_;
  std::vector<int64_t> wanted_rows_;
  std::vector<kernels::RowNeed> needs_;  // of the wanted rows
};

}  // namespace quire::worker
