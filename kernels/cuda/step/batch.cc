#include "kernels/cuda/step/batch.h"

#include <algorithm>
#include <utility>

namespace quire::kernels::cuda {
namespace {

std::string Fault(const StepShape& shape, const StepSpan& span, int positions_end) {
  if (span.ids.empty()) return "a sequence in a step has no token";
  if (span.position < 0) return "a sequence's position is negative";
  if (static_cast<int64_t>(span.pages.size()) * kPageKeys < positions_end)
    return "a sequence's pages don't hold all of its positions";
  const auto outside = [&](int32_t id) { return id < 0 || id >= shape.vocabulary; };
  if (std::any_of(span.ids.begin(), span.ids.end(), outside)) return "a token is outside of the vocabulary";
  return "";
}

}  // namespace

StepBatch MakeStepBatch(const StepShape& shape, std::span<const StepSpan> spans, int processors,
                        int64_t partial_rows) {
  StepBatch batch;
  std::vector<AttentionSpan> attention;
  for (const StepSpan& span : spans) {
    const int count = static_cast<int>(span.ids.size()), first = static_cast<int>(batch.ids.size());
    batch.error = Fault(shape, span, span.position + count);
    if (!batch.error.empty()) return batch;
    for (int i = 0; i < count; ++i) {
      const int position = span.position + i;
      batch.ids.push_back(span.ids[i]);
      batch.positions.push_back(position);
      batch.slots.push_back(span.pages[position / kPageKeys] * kPageKeys + position % kPageKeys);
    }
    batch.last_rows.push_back(first + count - 1);
    batch.rules.push_back(span.rule);
    // All pages that it has: a decode step further on finds its own in the same table.
    attention.push_back({first, count, span.position, span.pages});
  }
  absl::StatusOr<AttentionPlan> plan =
      PlanAttention(attention, LimitsFor(processors, shape.Group(), shape.kv_heads, partial_rows));
  if (plan.ok()) {
    batch.attention = *std::move(plan);
  } else {
    batch.error = std::string(plan.status().message());
  }
  return batch;
}

int StepsOfPlan(const StepBatch& batch) {
  int steps = 1 << 30;
  for (const int32_t row : batch.last_rows) {
    const int position = batch.positions[row];
    steps = std::min(steps, SplitBegin(SplitOf(position) + 1) - position);
  }
  return batch.last_rows.empty() ? 0 : steps;
}

}  // namespace quire::kernels::cuda
