// One request's choice on its way through the engine: its output, how many of its tokens are computed, the
// blocks that hold their keys and values, and how much of that its slot has been told; the prompt is the
// request's, which its choices share. Owned by the engine, planned by the scheduler; engine thread only. What
// always holds: positions [0, computed) are in the blocks; computed < size while it is unfinished and no step
// is in flight, since the last token's row is what the next one is sampled from; plans have run [0, planned),
// of which steps in flight compute what isn't; a token that was sampled is never sampled again; it has a slot
// while it has blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/core/hash.h"
#include "worker/cache/prefix_cache.h"
#include "worker/engine/generation_request.h"
#include "worker/engine/reasoning_phase.h"
#include "worker/engine/scored_prompt.h"

namespace quire::worker {

class Sequence {
 public:
  // Of the request's `nth` choice. `context` is the number of positions that the sequence may reach, prompt
  // and output together. `scored`: which all its choices have; null: one of its own.
  Sequence(uint64_t ticket, std::shared_ptr<const SharedRequest> request, int64_t context, size_t nth = 0,
           std::shared_ptr<ScoredPrompt> scored = nullptr);
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  uint64_t ticket() const { return ticket_; }  // its request's
  uint32_t choice() const { return choice_; }
  int64_t size() const;  // prompt and output
  int64_t computed() const { return computed_; }
  int64_t planned() const { return planned_; }
  // What no plan has run yet. A token that a step in flight samples is of it.
  int64_t remaining() const { return size() + coming_ - planned_; }
  // A step in flight samples a token for it.
  bool awaits_token() const { return coming_ > 0; }
  // How many of its next rows, 1 or more, a plan may have in which at most `scores` of them are scored, if
  // they are more than one and not all that are left.
  int64_t RowsThatScore(int64_t scores) const;
  bool scores() const { return !scored_->done(); }
  // A row of its request's prompt was scored. False: nobody is to be told.
  bool TakeScore(int64_t position) { return scored_->Take(position); }
  // What is on its way makes it as long as it may be: then it ends, whatever that is.
  bool EndsByLength() const;
  // Whether its next token is sampled by what is known before the one on its way is: without counts of
  // tokens, without a grammar, and not where a budget of reasoning may end.
  bool MayRunAhead() const;
  // Positions that need blocks if it runs to its end: the last token is never an input.
  int64_t longest() const;
  const SharedRequest& request() const { return *request_; }
  const std::vector<TokenId>& output() const { return output_; }
  // Set once the output is complete, which resumed ids alone can make it.
  std::optional<FinishCause> finished() const { return finished_; }
  // InvalidArgument where the grammar doesn't take the resumed ids, or lets nothing come though its output
  // isn't whole. It can't go on then.
  const absl::Status& grammar_error() const { return grammar_error_; }
  // How long its grammar took since the last time it was asked, of what came after the resumed ids.
  int64_t TakeMaskUs();
  // For each of its last tokens, about; less where those are few.
  double mean_mask_us() const { return mean_mask_us_; }

  // Whether the other one has the same tokens up to the end of this full block, which this one could share.
  bool HasInCommon(const Sequence& other, int64_t block) const;
  // How many such blocks there are.
  int64_t BlocksInCommon(const Sequence& other) const;
  // Of a full block of its present tokens, and all before it.
  const Digest& HashOf(int64_t block) const;

  // Takes what the cache knows and allocates the rest of the blocks for all its tokens. False, and nothing
  // taken, where fewer than `spare` blocks would stay idle; costs nothing then while nothing changes for it.
  bool AcquireBlocks(PrefixCache& cache, int64_t spare);
  // Makes room for the next position, a token's that is on its way if one is. False where no block is idle.
  bool GrowBlocks(PrefixCache& cache);
  // Whether it may begin as a copy of the other, once that has read its prompt: another choice of one
  // request, of which neither has any output.
  bool MayForkFrom(const Sequence& first) const;
  // As AcquireBlocks, where `first` reads the last of its prompt in this step: shares its full blocks, and
  // has room for a copy of one that is full in part.
  bool AcquireForkBlocks(const Sequence& first, PrefixCache& cache, int64_t spare);
  // How many blocks its next `tokens` tokens need beyond those of its present ones; less where it ends
  // before.
  int64_t BlocksToGrow(int64_t tokens) const;
  // Forgets what is computed: a preempted sequence starts over, from the prefix cache at best. Its slot, if
  // it has one, is somebody else's from now on. No step in flight samples a token for it.
  void ReleaseBlocks();
  // As ReleaseBlocks, of one that is gone, to whoever keeps them until no step in flight writes them.
  std::vector<BlockRef> TakeBlocks();
  std::optional<int32_t> slot() const { return slot_; }

  // Its blocks are there: it runs in this slot, which the plan opens.
  void OpenSlot(int32_t slot, BatchPlan& plan);
  // As OpenSlot, of a fork: it takes a token of its own from the last row of `first`, which the plan has just
  // got, and the next plan, to which `next` go, makes the slot.
  void ForkSlot(int32_t slot, const Sequence& first, BatchPlan& plan, std::vector<SlotOp>& next);
  // Its next `rows` tokens. One that is on its way is named by the row of the step before that samples it.
  void Plan(int64_t rows, BatchPlan& plan);
  // The planned rows ran: names the blocks that they filled.
  void Advance(int64_t rows, PrefixCache& cache);
  // Its rows came out wrong: none of the blocks that hold its tokens has a name from now on, whoever computed
  // it, and whether it runs.
  void ForgetBlocks(PrefixCache& cache);
  // The token sampled from the last row.
  void Append(TokenId id);

 private:
  // A token of its own from the last of the plan's rows.
  void Want(BatchPlan& plan);
  // Scores of those of the plan's last `rows` rows, at `position`, that lack them.
  void WantScores(int64_t position, int64_t rows, BatchPlan& plan);
  void AppendTokens(int64_t begin, int64_t end, std::vector<TokenId>& to) const;
  // The last token is always computed, since its row is sampled from: so its block is the sequence's own.
  // Rows that are to be scored are, too: the cache has no logits.
  int64_t SharableBlocks() const { return std::min(size() - 1, scored_->first_row()) / kBlockTokens; }
  // Hashes the full blocks that are new.
  void ExtendHashes();
  // Perhaps there is room for it now, where it needs no more than this many idle blocks.
  bool MayFit(const PrefixCache& cache, int64_t room) const;
  // What the cache knows of its first so many blocks, up to the first that it doesn't.
  std::vector<BlockRef> FindBlocks(PrefixCache& cache, int64_t blocks) const;
  // What is masked before min_tokens, and where it may not stop.
  std::span<const TokenId> stop_mask() const {
    return request_->ignore_eos ? std::span<const TokenId>() : request_->stop_ids;
  }
  // One whose prompt is scored has a token, which tells that it was read, be it the one that ends it.
  bool OwesToken() const { return request_->scoring && output_.empty(); }
  bool MayStopByToken() const { return may_stop_ && request_->min_tokens == 0 && !stop_mask().empty(); }
  void CheckFinished();
  // With the resumed ids.
  void StartConstraints();
  // Goes past the id; false where the grammar doesn't take it.
  bool Follow(TokenId id);
  void FollowConstraints(TokenId id);
  // What may come next: for the next row, or the output's end.
  void Constrain();
  void AllowOnly(TokenId id);
  // By the grammar, which may be at its end.
  void FillMask();

  const uint64_t ticket_;
  const std::shared_ptr<const SharedRequest> request_;
  const uint32_t choice_;
  const int64_t context_;
  const std::shared_ptr<ScoredPrompt> scored_;
  std::vector<TokenId> output_;
  std::optional<FinishCause> finished_;
  ReasoningPhase reasoning_;
  std::unique_ptr<GrammarState> grammar_;
  absl::Status grammar_error_;
  bool may_stop_ = true;
  bool masked_ = false;  // some id may not come next: mask_ says which may
  std::vector<uint32_t> mask_;
  int64_t told_mask_us_ = 0;
  double mean_mask_us_ = 0;
  int64_t computed_ = 0, planned_ = 0;
  int32_t coming_ = 0;       // tokens that steps in flight sample
  int32_t coming_row_ = -1;  // the last one's, of its plan's wanted
  std::vector<BlockRef> blocks_;
  // When no room was for it: how much there was, and how many of its first blocks the cache knew.
  struct Refusal {
    int64_t room = 0, known = 0;
  };
  std::optional<Refusal> refusal_;
  std::optional<int32_t> slot_;
  int64_t slot_blocks_ = 0;     // of blocks_, that its table has
  std::vector<Digest> hashes_;  // of the full blocks behind those of the prompt
};

}  // namespace quire::worker
