// Sequences of made-up tokens with shuffled pages, and steps of any pieces of them. What the step's checks
// and its bench share. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/step/step.h"
#include "kernels/cuda/step/testing/generated_model.h"

namespace quire::kernels::cuda {

// Tokens of one sequence that a step takes; those of another one where ids_of names it.
struct StepPiece {
  int sequence, position, tokens;
  int ids_of = -1;
};

class StepWorld {
 public:
  // `sequences` of up to `positions` each; a pool of exactly their pages, filled with numbers near one.
  StepWorld(Stream& stream, const GeneratedModel& model, const StepLimits& limits, int sequences,
            int positions, int processors);

  // The made-up token; the same in every world.
  int32_t Id(int sequence, int position) const;
  StepBatch Batch(const std::vector<StepPiece>& pieces, const SampleRule& rule) const;
  // Uploads the pieces' batch.
  StepPlan Load(const std::vector<StepPiece>& pieces, const SampleRule& rule);
  StepModel Model(Gemm& gemm) const;
  // One step; the logits behind each piece.
  std::vector<float> Run(const std::vector<StepPiece>& pieces, Gemm& gemm, const StepOptions& options);
  // Of `count` sequences of the last step.
  std::vector<float> Logits(int count);
  std::vector<int> Sampled(int count) {
    return buffers_.sampled_ids.Download(stream_, static_cast<size_t>(count));
  }

  Stream& stream() { return stream_; }
  const StepShape& shape() const { return model_.shape(); }
  const StepBuffers& buffers() const { return buffers_; }
  int sequences() const { return static_cast<int>(pages_.size()); }
  int positions() const { return positions_; }

 private:
  Stream& stream_;
  const GeneratedModel& model_;
  const int positions_, processors_;
  StepBuffers buffers_;
  KvPool kv_;
  std::vector<std::vector<int32_t>> pages_;  // of each sequence
};

}  // namespace quire::kernels::cuda
