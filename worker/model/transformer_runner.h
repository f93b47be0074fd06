// The ModelRunner of a real model: one rank's shard of a checkpoint on one Backend. Load reads the rank's
// slices; Launch runs a plan through the decoder; Collect samples on rank 0. Called by the rank's engine
// thread only, except the const accessors. All memory is allocated by Load: a step allocates nothing on the
// device.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "worker/engine/model_runner.h"
#include "worker/model/model_config.h"
#include "worker/model/shard.h"
#include "worker/model/weights.h"

namespace quire::worker {

class Decoder;
class Sampler;


struct TransformerOptions {
  std::string model_dir;
  int64_t kv_blocks = 0;  // equal on all ranks; KvBlockBytes says what one costs
  int64_t max_batch_tokens = 512;
  int64_t max_sequences = 64;
  int64_t tokenizer_size = 0;  // ids from here on are never sampled; 0 = the vocabulary's size
};

class TransformerRunner final : public ModelRunner {
 public:
  // `backend` and `communicator` (whose rank and size place the shard) outlive the runner.
  static absl::StatusOr<std::unique_ptr<TransformerRunner>> Load(const ModelConfig& config,
                                                                 const TransformerOptions& options,
                                                                 kernels::Backend& backend,
                                                                 kernels::Communicator& communicator,
                                                                 const LoadProgress& progress = nullptr);
  ~TransformerRunner() override;

  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;

  // Equal strings promise equal tokens (DESIGN invariant 2): weights digest, dtype, tensor-parallel layout,
  // kernel family, RoPE.
  const std::string& numerics_id() const { return numerics_id_; }
  const ModelConfig& config() const { return config_; }
  // Of this rank's shard, padding not counted.
  int64_t weight_bytes() const;

 private:
  TransformerRunner(const ModelConfig& config, kernels::Backend& backend,
                    kernels::Communicator& communicator);

  const ModelConfig config_;
  kernels::Backend& backend_;
  kernels::Communicator& communicator_;
  std::string numerics_id_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Sampler> sampler_;  // rank 0 only
  const BatchPlan* plan_ = nullptr;   // between Launch and Collect
};

}  // namespace quire::worker
