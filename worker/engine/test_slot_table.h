// For tests only: a small slot table, and plans for it by hand.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "worker/engine/slot_table.h"
#include "worker/engine/testing/plan_builder.h"

namespace quire::worker {

inline constexpr SlotLimits kTestLimits{.slots = 3,
                                        .batch_tokens = 40,
                                        .wanted_rows = 4,
                                        .kv_blocks = 8,
                                        .token_ids = 100,
                                        .plain_context = 50,
                                        .scaled_context = 80,
                                        .adapters = 1};

inline SlotSampling Penalizing(const std::vector<TokenId>& prompt, const std::vector<TokenId>& output = {}) {
  SlotSampling sampling;
  sampling.params.presence_penalty = 1;
  sampling.counts.AddPrompt(prompt);
  for (const TokenId id : output) sampling.counts.AddOutput(id);
  sampling.tokens = std::ssize(prompt) + std::ssize(output);
  return sampling;
}

class SlotTableTest : public testing::Test {
 protected:
  void Apply(PlanBuilder& builder) {
    plan_ = builder.Take();
    const absl::Status status = slots_.Apply(plan_);
    ASSERT_TRUE(status.ok()) << status;
  }
  // Slot 0 at position 20 in blocks 5 and 2.
  void OpenAndRun(SlotSampling sampling = {}) {
    Apply(
        next_.Open({.slot = 0}, std::move(sampling)).Rows(0, 0, std::vector<TokenId>(20, 7), {5, 2}).Want());
  }
  std::vector<int32_t> Table(int32_t slot) const {
    const std::span<const int32_t> table = slots_.table(slot);
    return {table.begin(), table.end()};
  }
  void Sampled(const std::vector<SampledToken>& tokens) { slots_.Collect({tokens}); }

  // What penalties see of a wanted row: how often each id came among the output.
  std::map<TokenId, int> OutputsAt(size_t row) const {
    std::map<TokenId, int> outputs;
    const SampleSpec& spec = *slots_.specs()[row];
    for (const auto& [id, count] : spec.counts->counts()) outputs[id] = count.output;
    for (const TokenId id : spec.uncounted) --outputs[id];
    std::erase_if(outputs, [](const auto& output) { return output.second == 0; });
    return outputs;
  }
  using Outputs = std::map<TokenId, int>;

  SlotTable slots_{kTestLimits};
  PlanBuilder next_;
  BatchPlan plan_;
};

}  // namespace quire::worker
