// By what the tokens of one slot are sampled, and how often each of them came: rank 0's part of a slot. It
// follows the plans: a token counts once a plan runs it, so one that was sampled counts from the next plan
// on. Guesses count too, but for the rows before them (as `uncounted`), and until they are taken back. Owned
// by the slot table; engine thread. What always holds: a spec's counts without what is uncounted are of the
// tokens before its row, each once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/engine/batch_plan.h"

namespace quire::worker {

class SlotSampler {
 public:
  void Open(const SlotSampling& sampling);
  // As another's tokens are sampled, from the same ones on.
  void Fork(const SlotSampler& from);
  // Guesses from this position of the sequence on were wrong.
  void RollBack(int64_t position);
  // The slot runs `ids` from `position` on; those from position `sure` on are guesses.
  void Advance(int64_t position, std::span<const TokenId> ids, int64_t sure);
  // Specs of rows that Advance brought: `wanted` counts from its first, whose ids are given again. They
  // stand, and point here, to `ids` and to `samples`, until the slot changes.
  std::span<const SampleSpec> Specs(std::span<const TokenId> ids, std::span<const WantedRow> wanted,
                                    int32_t first_row, std::span<const RowSampling> samples);

 private:
  SampleSpec common_;                // without what differs by row
  std::vector<TokenId> masked_ids_;  // of rows that mask them
  kernels::TokenCounts counts_;      // where the params penalize
  int64_t counted_ = 0;              // of the sequence's tokens
  std::vector<TokenId> guesses_;     // the last ones that count, which may be taken back
  std::vector<SampleSpec> specs_;
};

}  // namespace quire::worker
