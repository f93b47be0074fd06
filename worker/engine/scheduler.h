// Which sequences run in the next step and with how many tokens: continuous batching. Pure: no clock, I/O or
// device; equal calls give equal plans. Owned by the engine, which owns the sequences; engine thread only.
//
// The rules: (1) every running sequence gets at least one token a step, decodes first; what is left of the
// budget is shared evenly by the partial prefills, so that no prompt starves another. The budget is tokens,
// and, where sequences decode beside the prompts, also time: at the given prices the step ends by the target,
// but for one block of prompt that always goes on. (2) A sequence is
// admitted in order of arrival, once there are blocks for all tokens it has and for the next ones of
// everybody (headroom_tokens): without that room an admission soon preempts somebody. (3) When a running one
// needs a block and none is idle, the last admitted is preempted: it waits at the front and is computed anew.
// So the first admitted always gets on, and whatever fits alone ends. (4) Who lacks blocks that a running
// prompt is computing right now waits until that is past them, and shares them: equal prompts are read once,
// for all the choices of a request among others. It keeps its place meanwhile, and those behind it go on.
// (5) The other choices of its request wait until that has read the whole prompt, and go on from there: each
// has its first token from the same row, and forks (where there is room; else it reads what is left by
// itself). What runs has a slot, from its admission to its end or preemption; plans say what that is new to
// it. (6) While a step is in flight the next one is planned ahead where all who run can go on without its
// tokens, and nobody has to be preempted; where not, it waits for that. Who surely ends with that step is
// left out. (7) Of prompts whose tokens are scored a step takes few rows (kScoredRows), since logits of all
// of them would need room; these skip no row for what the cache has. What leaves meanwhile gives back slot
// and blocks only when no step that may write them is in flight.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "worker/cache/prefix_cache.h"
#include "worker/engine/batch_plan.h"
#include "worker/engine/sequence.h"
#include "worker/engine/step_costs.h"

namespace quire::worker {

struct SchedulerLimits {
  int64_t max_batch_tokens = 512;  // of a step; at least max_sequences
  int64_t prefill_chunk = 256;     // of one sequence in a step
  int64_t max_sequences = 64;      // running at once
  // KV room for each running sequence's next tokens that an admission leaves. Simulated at three times as
  // much work as fits, chats and long answers: 64 takes recomputed rows from 28-35 % to 0-18 % for 7 % fewer
  // sequences a step; twice as much saves little more and costs as much again.
  int64_t headroom_tokens = 64;
  // Of a step in which prompts run beside sequences that decode, which get a token each in that time, or in
  // half as much again as they take alone where that is more; 0 = off.
  int64_t target_step_ms = 80;

  // Rows whose logits a step may want: each sequence samples a token at most, or scores one of its prompt,
  // and so many more are scored by all of them together.
  static constexpr int64_t kWantedRows = 1;  // of a sequence
  static constexpr int64_t kScoredRows = 32;
  int64_t wanted_rows() const { return kWantedRows * max_sequences + kScoredRows; }

  absl::Status Check() const;
};

// A plan and whose rows they are: sequences[i] belongs to plan.sequences[i].
struct Step {
  BatchPlan plan;
  std::vector<Sequence*> sequences;
  std::vector<Sequence*> admitted;  // in this step
  std::vector<Sequence*> sampled;   // whose is the token, or the score, of each of plan.wanted
  StepWork work;
};

class Scheduler {
 public:
  Scheduler(const SchedulerLimits& limits, PrefixCache* cache);

  // Whether it would fit if it were alone; else InvalidArgument with the numbers.
  absl::Status CheckFits(const Sequence& sequence) const;
  // Borrows the sequence until Remove.
  void Add(Sequence* sequence);
  // Takes it out, waiting or running, and releases its blocks: at once, or, while a step is in flight, when
  // that was collected. Not between Schedule and Launched, or the end of a step that is never in flight.
  void Remove(Sequence* sequence);

  // The next step, at these prices; empty when nothing can run, which is only when nothing is there, or not
  // yet, while a step is in flight.
  Step Schedule(const StepPrices& prices);
  // The step that was planned last is in flight from now on, until it and those before it are collected. Who
  // runs one step after the other, and asks nothing between, need not say so.
  void Launched() { launched_ = next_step_ - 1; }
  void Collected(uint64_t step);

  bool empty() const { return waiting_.empty() && running_.empty(); }
  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t preemptions() const { return preemptions_; }

 private:
  // What a sequence leaves, until that step was collected.
  struct Held {
    uint64_t step = 0;
    int32_t slot = 0;
    std::vector<BlockRef> blocks;
  };

  bool in_flight() const { return launched_ > collected_; }
  // Whether all who run can go on before the tokens of the step in flight are known; they have the blocks.
  bool MayRunAhead();
  // It has no slot and no blocks any more. They are free at once, or when no step in flight may write them.
  void Vacate(Sequence* sequence);
  // The first one's are; the next plan closes the slot.
  void FreeHeld();
  // True where no plan has made this slot, though the next one was to: then none will.
  bool UndoFork(int32_t slot);
  void GrowRunning();
  // `donor`: a running sequence that computes so many blocks of its tokens; null: it waits for nobody.
  struct Waiting {
    Sequence* sequence = nullptr;
    const Sequence* donor = nullptr;
    int64_t common_blocks = 0;
  };

  bool MakeRoomFor(Sequence* sequence);
  void Preempt(Sequence* victim);
  void Admit(Step& step);
  bool WaitsForDonor(Waiting& waiting) const;
  // Of those that wait to fork from `first`, which reads the last of its prompt.
  void AdmitForks(Sequence* first, Step& step);
  int32_t TakeSlot();
  // It doesn't run any more.
  void ForgetDonor(const Sequence* gone);
  int64_t RoomToGrow() const;  // blocks for the next tokens of the running
  void ShareBudget(const StepPrices& prices, Step& step);

  const SchedulerLimits limits_;
  PrefixCache* const cache_;
  std::deque<Waiting> waiting_;
  std::vector<Sequence*> running_;   // in order of admission
  std::vector<int32_t> free_slots_;  // taken from the back
  std::vector<SlotOp> next_ops_;     // the next plan's first
  uint64_t next_step_ = 1, launched_ = 0, collected_ = 0;
  std::deque<Held> held_;  // by step
  int64_t preemptions_ = 0;
};

}  // namespace quire::worker
