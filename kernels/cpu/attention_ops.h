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

class AttentionOps {
 public:
  // All three must outlive it.
  AttentionOps(const KernelTable& kernels, ThreadPool& pool, Arena& memory)
      : kernels_(kernels), pool_(pool), memory_(memory) {}

  // These four are Backend's.
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale, int64_t max_positions);
  absl::Status CreateKvCache(const KvShape& shape);
  void RopeAndStore(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences, Tensor q_out);
  void Attention(Tensor q, int64_t layer, std::span<const SequenceRows> sequences, Tensor out);

 private:
  // A tile of query rows of one KV head of one sequence; rows are (token, query head of the group), token
  // first.
  struct Task {
    const SequenceRows* sequence;
    int64_t kv_head, first, count;
  };

  void CheckSequences(std::span<const SequenceRows> sequences, int64_t layer, int64_t tokens,
                      const char* op) const;
  void CheckRopes(std::span<const SequenceRows> sequences) const;
  // Each does one head of RopeAndStore for all rows.
  void RotateQueries(Tensor qkv, std::span<const SequenceRows> sequences, int64_t head, Tensor q_out) const;
  void StoreKeys(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences, int64_t head);
  void StoreValues(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences, int64_t head);

  KvWalk WalkOf(const Task& task, int64_t layer) const;
  void Attend(int64_t index, Tensor q, int64_t layer, Tensor out) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  Arena& memory_;
  std::vector<RopeTable> ropes_;
  std::optional<KvCache> kv_;
  std::vector<Task> tasks_;  // of the Attention under way
};

}  // namespace quire::kernels::cpu
