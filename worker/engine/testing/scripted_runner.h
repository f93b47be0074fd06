// A model without weights: every token is a pure function of the tokens before it, the seed, the choice, the
// position, what penalties count and what is masked, but it sees those tokens only through the pages of a
// pretended KV cache, as attention does. So a wrong block table, a stale page, a block not copied or a wrong
// position shows as a wrong token; and a step that would write a block which another slot has is an error.
// For tests and the mock group; engine thread only.
#pragma once

#include <cstdint>
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
  // Called with each plan before it runs, and with its results, and what they were sampled by, before they
  // are returned; may be empty.
  std::function<absl::Status(const BatchPlan&)> on_launch;
  std::function<void(const BatchPlan&, std::span<const SampleSpec* const>, StepResult&)> on_collect;
};

class ScriptedRunner final : public ModelRunner {
 public:
  explicit ScriptedRunner(ScriptedOptions options);
  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;

  const SlotTable& slots() const { return slots_; }
  int64_t copies() const { return copies_; }  // of blocks, so far

 private:
  void CopyBlocks();
  void WritePages(const SlotRows& rows);
  // What the row of that position sees.
  uint64_t ReadPages(const SlotRows& rows, int64_t position) const;
  uint64_t& Page(const SlotRows& rows, int64_t position);

  const ScriptedOptions options_;
  SlotTable slots_;
  std::vector<uint64_t> pages_;  // [block][16]
  int64_t copies_ = 0;
  const BatchPlan* plan_ = nullptr;
};

// Internal where the step writes a block that another slot has, too.
absl::Status CheckWritesAreAlone(const SlotTable& slots);

// The same function over plain tokens: what a request must get, whatever its batch. `tokens` is the prompt
// and the output so far.
TokenId ScriptedToken(const ScriptedOptions& options, const std::vector<TokenId>& tokens, bool scaled_rope,
                      const SampleSpec& sample);

}  // namespace quire::worker
