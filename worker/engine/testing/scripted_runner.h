// A model without weights: every token is a pure function of the tokens before it, the seed, the choice, the
// position, what penalties count and what is masked, but it sees those tokens only through the pages of a
// pretended KV cache, as attention does. So a wrong block table, a stale page, a block not copied or a wrong
// position shows as a wrong token; and a step that would write a block which another slot has is an error.
// Where it runs ahead it is as a device: a step's work is done as late as at its Collect, with the ids that
// the step before left here, and what a step in flight works on may be nobody else's: that is an error too.
// For tests and the mock group; engine thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "base/core/clock.h"
#include "worker/engine/model_runner.h"
#include "worker/engine/slot_table.h"

namespace quire::worker {

struct ScriptedOptions {
  int32_t kv_blocks = 0;
  int64_t max_sequences = 64;
  // Tokens come from [first_id, end_id), but for stop ids.
  TokenId first_id = 0, end_id = 1000;
  // With probability 1/stop_every a token is stop_id instead; 0 = never.
  uint64_t stop_every = 0;
  TokenId stop_id = 0;
  bool runs_ahead = false;
  // Called with each plan before it runs, and with its results, and what they were sampled by, before they
  // are returned; may be empty.
  std::function<absl::Status(const BatchPlan&)> on_launch;
  std::function<void(const BatchPlan&, std::span<const SampleSpec* const>, StepResult&)> on_collect;
};

class ScriptedRunner final : public ModelRunner {
 public:
  explicit ScriptedRunner(ScriptedOptions options);
  bool runs_ahead() const override { return options_.runs_ahead; }
  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;

  const SlotTable& slots() const { return slots_; }
  int64_t copies() const { return copies_; }  // of blocks, so far
  int64_t ahead() const { return ahead_; }    // rows that began with a token in flight, so far

 private:
  // A step between Launch and Collect: all that its work needs, since the slots may move on.
  struct Launched {
    const BatchPlan* plan = nullptr;
    std::vector<TokenId> ids;
    std::vector<kernels::SampledInput> sampled;
    std::vector<SlotRows> sequences;
    std::vector<std::vector<int32_t>> tables;  // theirs
    std::vector<kernels::BlockCopy> copies;
    std::vector<SampleSpec> specs;
    std::vector<int32_t> written;  // blocks
  };

  Launched TakeStep(const BatchPlan& plan) const;
  // That the plan changes no slot and hands out no block that a step in flight works on.
  absl::Status CheckFlight(const BatchPlan& plan) const;
  void CopyBlocks(const Launched& step);
  void WritePages(const Launched& step, const SlotRows& rows);
  // What the row of that position sees.
  uint64_t ReadPages(const SlotRows& rows, int64_t position) const;
  uint64_t& Page(const SlotRows& rows, int64_t position);

  const ScriptedOptions options_;
  SlotTable slots_;
  std::vector<uint64_t> pages_;  // [block][16]
  int64_t copies_ = 0, ahead_ = 0;
  std::deque<Launched> flight_;
  std::vector<TokenId> sampled_;  // by the step that was collected last
};

// Internal where the step writes a block that another slot has, too.
absl::Status CheckWritesAreAlone(const SlotTable& slots);

// The same function over plain tokens: what a request must get, whatever its batch. `tokens` is the prompt
// and the output so far.
TokenId ScriptedToken(const ScriptedOptions& options, const std::vector<TokenId>& tokens, bool scaled_rope,
                      const SampleSpec& sample);
// The score of the last one of them.
SampledToken ScriptedScore(const std::vector<TokenId>& tokens, bool scaled_rope, int32_t top_logprobs);

}  // namespace quire::worker
