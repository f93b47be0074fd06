#include "kernels/cpu/attention_ops.h"

#include <algorithm>
#include <cmath>

#include "base/core/hash.h"
#include "base/core/status.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cpu {
namespace {

int32_t BlockAt(const SequenceRows& sequence, int64_t position) {
  return sequence.blocks[position / kBlockTokens];
}

}  // namespace

absl::StatusOr<RopeId> AttentionOps::AddRope(std::span<const double> inv_freq, double scale,
                                             int64_t max_positions) {
  QUIRE_RETURN_IF_ERROR(CheckRope(inv_freq, scale, max_positions));
  QUIRE_ASSIGN_OR_RETURN(RopeTable table, RopeTable::Create(inv_freq, scale, max_positions, memory_, pool_));
  ropes_.push_back(table);
  return RopeId(static_cast<int32_t>(ropes_.size() - 1));
}

absl::Status AttentionOps::CreateKvCache(const KvShape& shape) {
  QUIRE_RETURN_IF_ERROR(CheckKvShape(shape));
  if (kv_.has_value()) return absl::FailedPreconditionError("the KV cache exists already");
  QUIRE_ASSIGN_OR_RETURN(kv_, KvCache::Create(shape, memory_));
  ReserveTiles();
  return absl::OkStatus();
}

void AttentionOps::ReserveStep(const StepLimits& limits) {
  limits_ = limits;
  ReserveTiles();
}

void AttentionOps::ReserveTiles() {
  most_tiles_ = kv_ ? MostTiles(limits_, kv_->shape()) : 0;
  tasks_.reserve(most_tiles_);
}

int64_t AttentionOps::MostTiles(const StepLimits& limits, const KvShape& shape) {
  const int64_t group = shape.query_heads / shape.kv_heads;
  // The last tile of a sequence may be a part of one.
  return shape.kv_heads * (limits.tokens * group / kMaxQueryRows + limits.sequences);
}

void AttentionOps::CopyBlocks(std::span<const BlockCopy> copies) {
  constexpr char kOp[] = "CopyBlocks";
  CheckOp(kv_.has_value(), kOp, "there is no KV cache");
  const auto known = [&](int32_t block) { return block >= 0 && block < kv_->shape().blocks; };
  for (const auto& [from, to] : copies) CheckOp(known(from) && known(to) && from != to, kOp, "no such copy");
  pool_.ForEach(kv_->shape().layers, [&](int64_t layer) {
    for (const auto& [from, to] : copies) kv_->CopyBlock(layer, from, to);
  });
}

void AttentionOps::BeginStep(std::span<const SequenceRows> sequences) {
  sequences_ = sequences;
  tasks_.clear();
  rows_ = 0;
  for (const SequenceRows& s : sequences) {
    CheckSequence(s);
    rows_ = std::max(rows_, s.first_row + s.rows);
    const KvShape& shape = kv_->shape();
    const int64_t rows = s.rows * shape.query_heads / shape.kv_heads;
    for (int64_t head = 0; head < shape.kv_heads; ++head) {
      for (int64_t first = 0; first < rows; first += kMaxQueryRows) {
        CheckOp(std::ssize(tasks_) < most_tiles_, "BeginStep", "more tiles than were reserved");
        tasks_.push_back({&s, head, first, std::min(kMaxQueryRows, rows - first)});
      }
    }
  }
}

void AttentionOps::CheckSequence(const SequenceRows& sequence) const {
  constexpr char kOp[] = "BeginStep";
  CheckOp(kv_.has_value(), kOp, "there is no KV cache");
  for (const int32_t block : sequence.blocks.subspan(sequence.kept)) {
    CheckOp(block >= 0 && block < kv_->shape().blocks, kOp, "no such block");
  }
  const auto rope = static_cast<size_t>(sequence.rope);
  CheckOp(rope < ropes_.size() && ropes_[rope].half() * 2 == kv_->shape().head_dim, kOp, "unknown rope");
  CheckOp(sequence.position + sequence.rows <= ropes_[rope].positions(), kOp, "position beyond the rope's");
}

void AttentionOps::CheckCall(int64_t layer, int64_t tokens, const char* op) const {
  CheckOp(kv_.has_value(), op, "there is no KV cache");
  CheckOp(layer >= 0 && layer < kv_->shape().layers, op, "no such layer");
  CheckOp(rows_ <= tokens, op, "the tensors have fewer rows than the step");
}

void AttentionOps::RotateHead(const float* x, const float* weight, float eps, const RopeTable& rope,
                              int64_t position, uint16_t* out) const {
  float normed[kMaxHeadDim];
  if (weight != nullptr) {
    kernels_.norm_head(x, weight, 2 * rope.half(), eps, normed);
    x = normed;
  }
  kernels_.rotate(x, rope.cosine(position), rope.sine(position), rope.half(), out);
}

void AttentionOps::RotateQueries(Tensor qkv, const HeadWeights& norms, int64_t head, Tensor q_out) const {
  const int64_t at = head * kv_->shape().head_dim;
  for (const SequenceRows& s : sequences_) {
    const RopeTable& rope = ropes_[static_cast<size_t>(s.rope)];
    for (int64_t row = s.first_row, position = s.position; row < s.first_row + s.rows; ++row, ++position) {
      RotateHead(qkv.f32(row) + at, norms.q, norms.eps, rope, position, q_out.bf16(row) + at);
    }
  }
}

void AttentionOps::StoreKeys(Tensor qkv, int64_t layer, const HeadWeights& norms, int64_t head) {
  const int64_t at = (kv_->shape().query_heads + head) * kv_->shape().head_dim;
  uint16_t rotated[kMaxHeadDim];
  for (const SequenceRows& s : sequences_) {
    const RopeTable& rope = ropes_[static_cast<size_t>(s.rope)];
    for (int64_t row = s.first_row, position = s.position; row < s.first_row + s.rows; ++row, ++position) {
      RotateHead(qkv.f32(row) + at, norms.k, norms.eps, rope, position, rotated);
      kv_->StoreKey(layer, BlockAt(s, position), head, position % kBlockTokens, rotated);
    }
  }
}

void AttentionOps::StoreValues(Tensor qkv, int64_t layer, int64_t head) {
  const KvShape& shape = kv_->shape();
  const int64_t at = (shape.query_heads + shape.kv_heads + head) * shape.head_dim;
  uint16_t rounded[kMaxHeadDim];
  for (const SequenceRows& s : sequences_) {
    for (int64_t row = s.first_row, position = s.position; row < s.first_row + s.rows; ++row, ++position) {
      kernels_.to_bf16(qkv.f32(row) + at, shape.head_dim, rounded);
      kv_->StoreValue(layer, BlockAt(s, position), head, position % kBlockTokens, rounded);
    }
  }
}

void AttentionOps::RopeAndStore(Tensor qkv, int64_t layer, const HeadWeights& norms, Tensor q_out) {
  CheckCall(layer, std::min(qkv.rows, q_out.rows), "RopeAndStore");
  const KvShape& shape = kv_->shape();
  const int64_t heads = shape.query_heads + 2 * shape.kv_heads;
  CheckOp(qkv.dtype == DType::kF32 && qkv.cols == heads * shape.head_dim, "RopeAndStore",
          "qkv is not fp32 [tokens, heads]");
  CheckOp(q_out.dtype == DType::kBf16 && q_out.cols == shape.query_heads * shape.head_dim, "RopeAndStore",
          "q_out is not bf16 [tokens, query heads]");
  // By head: two positions of V share a 32-bit word, so one thread writes all positions of a head.
  pool_.ForEach(heads, [&](int64_t i) {
    const int64_t key_head = i - shape.query_heads, value_head = key_head - shape.kv_heads;
    if (value_head >= 0) {
      StoreValues(qkv, layer, value_head);
    } else if (key_head >= 0) {
      StoreKeys(qkv, layer, norms, key_head);
    } else {
      RotateQueries(qkv, norms, i, q_out);
    }
  });
}

KvWalk AttentionOps::WalkOf(const Task& task, int64_t layer) const {
  return {kv_->pages(layer, task.kv_head), kv_->page_stride(), task.sequence->blocks.data(),
          std::ssize(task.sequence->blocks)};
}

void AttentionOps::Attend(int64_t index, Tensor q, int64_t layer, Tensor out) const {
  const Task& task = tasks_[index];
  const KvShape& shape = kv_->shape();
  const int64_t group = shape.query_heads / shape.kv_heads;
  AttentionArgs args{};
  args.rows = task.count;
  for (int64_t i = 0; i < task.count; ++i) {
    const int64_t token = (task.first + i) / group, head = task.kv_head * group + (task.first + i) % group;
    const int64_t row = task.sequence->first_row + token;
    args.q[i] = q.bf16(row) + head * shape.head_dim;
    args.out[i] = out.bf16(row) + head * shape.head_dim;
    args.keys[i] = task.sequence->position + token + 1;
  }
  args.head_dim = shape.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  args.walk = WalkOf(task, layer);
  // After a thread's last task the next layer's first comes, weights in between: it will wait in a cache.
  const int64_t next = index + pool_.threads(), count = std::ssize(tasks_);
  args.next = next < count ? WalkOf(tasks_[next], layer)
                           : WalkOf(tasks_[next % count], std::min(layer + 1, shape.layers - 1));
  kernels_.attention(args);
}

void AttentionOps::Attention(Tensor q, int64_t layer, Tensor out) {
  CheckCall(layer, std::min(q.rows, out.rows), "Attention");
  const KvShape& shape = kv_->shape();
  const int64_t cols = shape.query_heads * shape.head_dim;
  CheckOp(q.dtype == DType::kBf16 && out.dtype == DType::kBf16 && q.cols == cols && out.cols == cols,
          "Attention", "q or out is not bf16 [tokens, query heads]");
  pool_.ForEach(std::ssize(tasks_), [&](int64_t i) { Attend(i, q, layer, out); });
}

}  // namespace quire::kernels::cpu
