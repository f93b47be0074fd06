// RopeAndStore and Attention of the CPU backend: the rotary tables, the KV pages and how their work is cut
// over the compute threads. The backend owns one; the engine's thread calls it with denormals flushed.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/kv_cache.h"
#include "kernels/cpu/rope_table.h"
#include "kernels/cpu/thread_pool.h"

namespace quire::kernels::cpu {

// Weights of [head_dim], or null where a head is not normed.
struct HeadWeights {
  const float *q = nullptr, *k = nullptr;
  float eps = 0;
};

class AttentionOps {
 public:
  // All three must outlive it.
  AttentionOps(const KernelTable& kernels, ThreadPool& pool, Arena& memory)
      : kernels_(kernels), pool_(pool), memory_(memory) {}

  int64_t head_dim() const { return kv_ ? kv_->shape().head_dim : 0; }
  // These are Backend's.
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale, int64_t max_positions);
  absl::Status CreateKvCache(const KvShape& shape);
  void ReserveStep(const StepLimits& limits);
  // The tiles of the largest step, however its rows are cut into sequences.
  static int64_t MostTiles(const StepLimits& limits, const KvShape& shape);
  void CopyBlocks(std::span<const BlockCopy> copies);
  // The sequences, and their tables, stand until the next one.
  void BeginStep(std::span<const SequenceRows> sequences);
  void RopeAndStore(Tensor qkv, int64_t layer, const HeadWeights& norms, Tensor q_out);
  void Attention(Tensor q, int64_t layer, Tensor out);

 private:
  // A tile of query rows of one KV head of one sequence; rows are (token, query head of the group), token
  // first.
  struct Task {
    const SequenceRows* sequence;
    int64_t kv_head, first, count;
  };

  void ReserveTiles();
  void CheckSequence(const SequenceRows& sequence) const;
  void CheckCall(int64_t layer, int64_t tokens, const char* op) const;
  // The head at x normed, its weight given, then rotated.
  void RotateHead(const float* x, const float* weight, float eps, const RopeTable& rope, int64_t position,
                  uint16_t* out) const;
  // Each does one head of RopeAndStore for all rows.
  void RotateQueries(Tensor qkv, const HeadWeights& norms, int64_t head, Tensor q_out) const;
  void StoreKeys(Tensor qkv, int64_t layer, const HeadWeights& norms, int64_t head);
  void StoreValues(Tensor qkv, int64_t layer, int64_t head);

  KvWalk WalkOf(const Task& task, int64_t layer) const;
  void Attend(int64_t index, Tensor q, int64_t layer, Tensor out) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  Arena& memory_;
  std::vector<RopeTable> ropes_;
  std::optional<KvCache> kv_;
  StepLimits limits_;
  int64_t most_tiles_ = 0;
  // Of the step.
  std::span<const SequenceRows> sequences_;
  std::vector<Task> tasks_;
  int64_t rows_ = 0;  // up to the last sequence's last
};

}  // namespace quire::kernels::cpu
