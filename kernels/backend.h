// What a device offers to the model: memory, packed weights, a paged KV cache and the ops of a Qwen or Llama
// layer. One Backend per rank; the rank's engine thread alone calls it. Ops run in call order and may be
// asynchronous: only what reads, and Finish, wait. What always holds (ARCHITECTURE 5.2): an
// output row depends on its own input row (and its sequence's cached K and V), never on how many rows or
// sequences share the call; sums over K run in one order fixed by the shape and its leaves. Implementations:
// kernels/cpu (AMX, AVX-512 BF16 and AVX2) and kernels/cuda/backend; a naive fp64 one checks both.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/sampling/candidates.h"
#include "kernels/sampling/sample_spec.h"
#include "kernels/tensor.h"

namespace quire::kernels {

// What a weight is kept as, and rows of x are multiplied as. kernels/int8_rows.h says what kInt8 is.
enum class MatrixFormat : uint8_t { kBf16, kInt8 };

// Rows of a weight in host memory: [rows, k] of its format's numbers, `stride` elements apart (a column slice
// has stride > k). Must stay readable during the call that takes it.
struct HostMatrix {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t stride = 0;
  MatrixFormat format = MatrixFormat::kBf16;
  // Of kInt8: how many k's share a scale, and the scales [rows, k / group], in bf16. There are no zero
  // points: a format that has them brings them here.
  int64_t group = 0;
  const uint16_t* scales = nullptr;

  const uint16_t* bf16(int64_t row) const { return static_cast<const uint16_t*>(data) + row * stride; }
  const int8_t* int8(int64_t row) const { return static_cast<const int8_t*>(data) + row * stride; }
};

// A sum over K may be cut into leaves: equal ranges of K, each summed in order, whose sums one binary tree
// adds up. A rank that holds half of the leaves then holds the tree's half, and 1, 2, 4 and 8 ranks get the
// same bits.
inline constexpr int64_t kMaxLeaves = 8;

enum class MatrixKind : uint8_t {
  kPlain,
  // Two parts of equal rows, gate then up; consumed by MatmulSiluMul only.
  kGateUp,
};

// Handles to what was added at load.
enum class MatrixId : int32_t {};
enum class VectorId : int32_t {};
enum class RopeId : int32_t {};
inline constexpr VectorId kNoBias = VectorId{-1}, kNoNorm = VectorId{-1};

// RMSNorms over each head of q and of k, with weights of [head_dim]; some architectures have them.
struct HeadNorms {
  VectorId q = kNoNorm, k = kNoNorm;
  float eps = 0;
};

struct KvShape {
  int64_t layers = 0, blocks = 0, kv_heads = 0, head_dim = 0;
  int64_t query_heads = 0;  // of this rank; a multiple of kv_heads
  // tokens of a block are quire::kBlockTokens (16)
};

// The rows of one sequence in a step: `rows` consecutive tokens starting at `position`, standing at rows
// [first_row, first_row + rows) of every [tokens, ...] tensor. Its block table, up to position + rows, stands
// in the backend, in the sequence's slot: of what that holds the first `kept` blocks stay, and `blocks`
// follow them. So a step is told what is new, however long its sequences are.
struct SequenceRows {
  int64_t first_row = 0, rows = 0;
  int64_t position = 0;
  std::span<const int32_t> blocks = {};
  RopeId rope{};
  int64_t slot = 0;  // below StepLimits' sequences; of no other sequence in the step
  int64_t kept = 0;  // at most as many as the slot has
};

// A block of the KV cache that becomes like another.
struct BlockCopy {
  int32_t from = 0, to = 0;
};

// A row whose id is the token that the Sample before picked for row `from` of its logits; 0 where that
// failed.
struct SampledInput {
  int64_t row = 0, from = 0;
};

// What a step works on, beside what its tensors hold. The backend takes a copy.
struct StepInputs {
  std::span<const int32_t> ids;             // of each row; [tokens]
  std::span<const SequenceRows> sequences;  // by their rows, of which none shares one
  // Those whose logits are computed; ascending. One may come several times: as many tokens are sampled from
  // it.
  std::span<const int64_t> wanted_rows;
  // Ascending; what stands in `ids` for them is of no use. None, where the backend does not run ahead.
  std::span<const SampledInput> sampled = {};
};

// The largest step.
struct StepLimits {
  int64_t tokens = 0, sequences = 0, wanted_rows = 0;  // sequences: and as many slots
  int64_t table_blocks = 0;                            // of one sequence
  int64_t sampled_ids = 0;  // those of a row of logits that may be picked; 0: this rank samples none
  int64_t part_ids = 0;     // those of them in this rank's part of a row, where each rank has one
};

// Which runs of a row stand in it (kernels/sampling/row_scans.h); none is named where all do.
using RowRuns = std::span<const int32_t>;

// How many rows the ops of a step run on: as many as it has, or filled up to one of a few sizes, so that
// steps share what was captured for that size.
struct StepBucket {
  int64_t tokens = 0, wanted_rows = 0;
};

// A matmul (or, of kGateUp, a MatmulSiluMul) of steps, at its largest.
struct StepMatmul {
  MatrixId matrix{};
  Tensor x, out;
};

struct WeightStats {
  int64_t bytes = 0;  // of weights held by this rank, padding not counted
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Kernel family and version, a part of numerics_id: equal strings promise equal bits. AVX2 and AVX-512 are
  // one, "cpu-bf16-1", AMX and its twin another, "cpu-bf16-2".
  virtual std::string family() const = 0;
  // Whether a step may be issued, CopyBlocks to Sample, before ReadSampled of the step before, whose tokens
  // it may begin with (StepInputs::sampled). All of these then only enqueue, but for what a backend does once
  // or seldom, and take copies of what they are given. Never changes.
  virtual bool runs_ahead() const { return false; }

  // ---- load; in execution order (layer 0 qkv, o, gate/up, down, layer 1 ..., lm_head), which is prefetched
  // along ----

  // Zeroed scratch memory that lives as long as the backend.
  virtual absl::StatusOr<Tensor> Allocate(DType dtype, int64_t rows, int64_t cols) = 0;
  // Packs the parts, stacked by rows, into one matrix [sum of rows, k] of their format. `leaves` of its sums
  // over k: 1, 2, 4 or 8 where k is a multiple of 2 * leaves, 1 of any k; 1 of kGateUp. A leaf of kInt8 is
  // whole groups.
  virtual absl::StatusOr<MatrixId> AddMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                             int64_t leaves) = 0;
  // A norm's weight or a bias, fp32.
  virtual absl::StatusOr<VectorId> AddVector(std::span<const float> values) = 0;
  // cos/sin tables for positions below max_positions: angle = position * inv_freq[i], both multiplied by
  // `scale` (YaRN's attention factor; 1 without). inv_freq [head_dim / 2].
  virtual absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale,
                                         int64_t max_positions) = 0;
  // Once, before the first step. Block b of layer l holds K and V of 16 positions for every KV head of this
  // rank.
  virtual absl::Status CreateKvCache(const KvShape& shape) = 0;
  // What a step's inputs stand in. Before the first step, and where the limits change; it ends the step
  // before, and empties all slots.
  virtual absl::Status ReserveStep(const StepLimits& limits) = 0;
  // Behind ReserveStep, once: what matmuls a step is made of, on as many rows as it may have, for a device
  // that chooses how to multiply each number of them; x and out are scratch. It may take its time now, which
  // it would else take when such a step first comes.
  virtual absl::Status PrepareMatmuls(std::span<const StepMatmul> /*matmuls*/) { return absl::OkStatus(); }
  virtual WeightStats weight_stats() const = 0;

  // Between steps: K and V of one block become those of the other, in all layers; one copy after the other.
  virtual void CopyBlocks(std::span<const BlockCopy> copies) = 0;

  // ---- a step: BeginStep, then its ops within Run. They take tensors of the bucket's rows; all else that
  // they read is what BeginStep took. ----

  virtual StepBucket BeginStep(const StepInputs& inputs) = 0;
  // Calls `ops`, or what was captured when it was called for this bucket before: it issues the same calls
  // with the same arguments for equal buckets. Fails as `ops` does, and where any of the step is known to
  // fail by now: a group computes nonsense then.
  virtual absl::Status Run(const StepBucket& bucket, absl::FunctionRef<absl::Status()> ops) = 0;

  // out [tokens, k] fp32 = row ids[i] - first_row of `table` (added as kPlain [rows, k], kBf16), zeros where
  // that row is not in this rank's table.
  virtual void Embed(MatrixId table, int64_t first_row, Tensor out) = 0;
  // out bf16 = x * rsqrt(mean(x^2) + eps) * weight; x fp32 [tokens, hidden].
  virtual void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) = 0;
  // x += delta (both fp32), then RmsNorm of x.
  virtual void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) = 0;
  // out fp32 [tokens, n] = x bf16 [tokens, k] * matrix^T (+ bias).
  virtual void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) = 0;
  // out bf16 [tokens, n / 2] = silu(gate) * up for a kGateUp matrix [n, k].
  virtual void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) = 0;
  // qkv fp32 [tokens, (query_heads + 2 kv_heads) * head_dim]: norms each head of q and k where `norms` says
  // so, rotates them (half-split layout of Hugging Face: pairs are (i, i + head_dim/2)), writes K and V
  // rounded to bf16 into the pages of `layer`, and q to q_out bf16 [tokens, query_heads * head_dim]. Nothing
  // is rounded to bf16 before. Every row's K and V stand before any row attends.
  virtual void RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) = 0;
  // out bf16 [tokens, query_heads * head_dim]: causal attention of each row over positions 0..its own, scale
  // 1/sqrt(head_dim), fp32 softmax over fixed key tiles from position 0. Query head h uses KV head h /
  // (query/kv).
  virtual void Attention(Tensor q, int64_t layer, Tensor out) = 0;
  // out row i = x row wanted_rows[i]; same dtype and cols.
  virtual void GatherWanted(Tensor x, Tensor out) = 0;

  // Where each rank has a part of every row: waits for everything before and moves what rank 0 needs of this
  // rank's (kernels/sampling/candidates.h) to the front of each row of logits fp32 [rows, at least part_ids].
  // Sets the bits of its runs in `kept` [rows][RunWords(part_ids)].
  virtual absl::Status KeepCandidates(Tensor logits, std::span<const RowNeed> needs,
                                      std::span<uint32_t> kept) = 0;
  // Picks a token by specs[i] from each row i of logits fp32 [rows, at least sampled_ids]: kernels/sampling's
  // choice, bit by bit. Of rows from which ranks left out what a spec does not need, runs[i] names what there
  // is; `runs` is empty, too, where all rows are whole. Rows don't know of one another, so several may be one
  // sequence's. The specs, and what they point to, and the runs outlive ReadSampled, which comes next. Where
  // steps run ahead each ends with it, of no rows where none is sampled; nothing outlives it where the
  // backend runs ahead.
  virtual void Sample(Tensor logits, std::span<const SampleSpec* const> specs,
                      std::span<const RowRuns> runs) = 0;
  // Where it runs ahead, on any rank of several: where the ids of the last Sample stand, 4-byte words in a
  // tensor of one row, for rank 0's to be broadcast to (Communicator) before a BeginStep that begins with
  // some.
  virtual Tensor sampled_ids() const { return {}; }
  // Waits for the Sample before, the oldest one not read yet: a token for each of its rows, until the next
  // call of either.
  virtual absl::StatusOr<std::span<const SampledToken>> ReadSampled() = 0;

  // Waits for everything before and makes the tensor readable by the host: returns the host address of row 0,
  // with rows `stride` elements apart (the tensor's own memory on a CPU). Valid until the next op that writes
  // the tensor.
  virtual absl::StatusOr<const float*> ReadRows(Tensor x) = 0;
  // Waits for everything before; why any of it failed, as what reads says it, too. How a rank that reads
  // nothing ends its step.
  virtual absl::Status Finish() = 0;
};

}  // namespace quire::kernels
