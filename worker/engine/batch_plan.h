// One step's work as plain data: what the scheduler decides and every rank runs. Built by the engine thread
// of rank 0, sent to followers by worker/parallel (which leave out what rank 0 samples by), taken in by each
// rank's slot table. A running sequence has a slot, of which every rank keeps block table and position
// (slot_table.h): so a plan says what is new, and its size does not grow with the context. Nothing in it
// points to anything.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"
#include "kernels/sampling/candidates.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::worker {

using kernels::SampledToken;
using kernels::SampleSpec;
using kernels::SamplingParams;

// ---- what becomes of slots before the step's rows run, in order; int32 words, as they are sent ----

// A free slot is a sequence's from now on. Its first positions are computed already: those of the next
// `blocks` of BatchPlan::blocks, full ones that nobody writes.
struct OpenSlot {
  int32_t slot = 0;
  int32_t scaled_rope = 0;  // 0 or 1
  int32_t adapter = 0;      // of the weights; 0: none
  int32_t blocks = 0;
};
// A free slot becomes a copy of another: the same tokens before it, in the same blocks.
struct ForkSlot {
  int32_t slot = 0, from = 0;
};
struct CloseSlot {
  int32_t slot = 0;
};
// The slot's tokens from `position` on are taken back: rows of its last step behind the first whose logits
// were wanted, no others (slot_table.h). So are the blocks that no token stands in any more.
struct RollBack {
  int32_t slot = 0, position = 0;
};
// The slot's last block, which is full in part, is copied to `block`, which takes its place in the table:
// what a sequence does that shares it, before it writes.
struct CopyLastBlock {
  int32_t slot = 0, block = 0;
};
using SlotOp = std::variant<OpenSlot, ForkSlot, CloseSlot, RollBack, CopyLastBlock>;

// ---- the rows ----

// The next rows of the sequence in a slot. Its parts of BatchPlan's ids, blocks and wanted follow those of
// the sequences before it.
struct SequencePlan {
  int32_t slot = 0;
  int32_t position = 0;      // of its first row: the slot's
  int32_t rows = 1;          // of `ids`
  int32_t blocks = 0;        // that its table grows by: as many as position + rows need
  int32_t wanted = 0;        // of its rows; the scored ones first
  int32_t sampled_row = -1;  // not -1: its first id is the token that was sampled for this row of `wanted` in
                             // the step before, whatever stands in `ids`
};

// A row whose logits are wanted, of all rows of the step, and what of them sampling needs: kernels::NeedOf
// what it is sampled by, which followers can't tell.
struct WantedRow {
  int32_t row = 0;
  kernels::RowNeed need = {};
  // Not -1: of a prompt, whose next id is this one. It is scored, none is sampled.
  int32_t scored = -1;
};

// What a slot's tokens are sampled by.
struct SlotSampling {
  SamplingParams params = {};  // masked_ids are masked where RowSampling says so
  uint64_t seed = 0;
  // Of all its `tokens` so far, where the params penalize.
  kernels::TokenCounts counts = {};
  int64_t tokens = 0;
};

// And one of them.
struct RowSampling {
  uint32_t choice = 0;
  uint32_t position = 0;               // in the choice's output
  bool masked = false;                 // masked_ids
  std::vector<uint32_t> allowed = {};  // a grammar's mask, as in SampleSpec
  int32_t top_logprobs = 0;            // of a row that is scored: all that is asked
};

struct BatchPlan {
  uint64_t step = 0;
  std::vector<SlotOp> ops;
  std::vector<SequencePlan> sequences;  // each in a slot of its own
  std::vector<TokenId> ids;             // of each row
  std::vector<int32_t> blocks;          // of the opened slots, then of the sequences
  std::vector<WantedRow> wanted;  // ascending; a sequence wants its last ones, one perhaps several times
  // Rank 0's alone; empty on followers.
  std::vector<SlotSampling> openings;  // of each OpenSlot
  std::vector<RowSampling> samples;    // of each of `wanted`

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

// One entry per row of the plan's `wanted`, in its order. Empty on followers.
struct StepResult {
  std::vector<SampledToken> tokens;
};

// Tokens as the next step's inputs. One that failed has no id: its sequence ends, and whatever was planned
// for it meanwhile runs on id 0, for nobody.
void TakeSampled(const StepResult& result, std::vector<TokenId>& ids);

// The plan's ids with those of sampled rows in their places, of which `sampled` are the step before's: the
// plan's own, or in `buffer` where it has any. On a device, which has the sampled ids where the next step
// reads them, nobody waits for this. Internal where there is no such row.
absl::StatusOr<std::span<const TokenId>> ResolveIds(const BatchPlan& plan, std::span<const TokenId> sampled,
                                                    std::vector<TokenId>& buffer);

}  // namespace quire::worker
