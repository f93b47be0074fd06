#include "kernels/cuda/attention_plan.h"

#include <algorithm>

namespace quire::kernels::cuda {
namespace {

int DivideUp(int a, int b) { return (a + b - 1) / b; }

int Splits(const AttentionSpan& span) { return SplitOf(span.position + span.tokens - 1) + 1; }

// The sequences that blocks of one height walk.
struct Class {
  bool narrow;
  int rows;    // of a block
  int wanted;  // blocks
};

bool Belongs(const AttentionSpan& span, const Class& of, int group) {
  return (span.tokens * group <= kWarpRows) == of.narrow;
}

// How many splits a block takes, so that about `wanted` blocks come out.
int SplitsOfBlock(std::span<const AttentionSpan> spans, const Class& of, const AttentionLimits& limits) {
  int64_t pieces = 0, tiles = 0, most = 1;
  for (const AttentionSpan& span : spans) {
    if (!Belongs(span, of, limits.group)) continue;
    const int64_t of_span = DivideUp(span.tokens * limits.group, of.rows);
    tiles += of_span * limits.kv_heads;
    pieces += of_span * limits.kv_heads * Splits(span);
    most = std::max<int64_t>(most, Splits(span));
  }
  if (tiles >= of.wanted) return static_cast<int>(most);
  return static_cast<int>(std::clamp<int64_t>(pieces / of.wanted, 1, most));
}

void AddItems(const AttentionSpan& span, int sequence, int splits_of_block, const Class& of, int group,
              std::vector<AttentionItem>& items) {
  const int rows = span.tokens * group;
  for (int row = 0; row < rows; row += of.rows) {
    const int last_token = (std::min(row + of.rows, rows) - 1) / group;
    const int splits = SplitOf(span.position + last_token) + 1;
    for (int split = 0; split < splits; split += splits_of_block) {
      items.push_back({sequence, row, split, std::min(split + splits_of_block, splits)});
    }
  }
}

}  // namespace

AttentionPlan PlanAttention(std::span<const AttentionSpan> spans, const AttentionLimits& limits) {
  AttentionPlan plan;
  const Class classes[] = {{true, kWarpRows, limits.narrow_blocks},
                           {false, limits.wide_rows, limits.wide_blocks}};
  const int splits_of_block[] = {SplitsOfBlock(spans, classes[0], limits),
                                 SplitsOfBlock(spans, classes[1], limits)};
  for (const AttentionSpan& span : spans) {
    const int which = Belongs(span, classes[0], limits.group) ? 0 : 1, splits = Splits(span);
    const int sequence = static_cast<int>(plan.sequences.size());
    plan.sequences.push_back(
        {span.first_token, span.tokens, span.position, static_cast<int32_t>(plan.tables.size()), -1});
    plan.tables.insert(plan.tables.end(), span.pages.begin(), span.pages.end());
    plan.tables.resize((plan.tables.size() + 3) / 4 * 4);
    AddItems(span, sequence, splits_of_block[which], classes[which], limits.group,
             which == 0 ? plan.narrow : plan.wide);
    if (splits <= splits_of_block[which]) continue;
    plan.sequences.back().partial_offset = static_cast<int32_t>(plan.partial_rows);
    plan.partial_rows += static_cast<int64_t>(splits) * span.tokens * limits.group * limits.kv_heads;
    const int token_rows = limits.group * limits.kv_heads;
    for (int token = 0; token < span.tokens; ++token) {
      plan.combine.push_back({span.first_token + token,
                              plan.sequences.back().partial_offset + token * token_rows,
                              span.tokens * token_rows, SplitOf(span.position + token) + 1});
    }
  }
  const auto keys = [&](const AttentionItem& item) {
    const AttentionSequence& sequence = plan.sequences[item.sequence];
    const int first_token = item.first_row / limits.group;
    return std::min(SplitBegin(item.end_split), sequence.position + first_token + 1) -
           SplitBegin(item.first_split);
  };
  for (auto* items : {&plan.narrow, &plan.wide}) {
    std::stable_sort(items->begin(), items->end(),
                     [&](const AttentionItem& a, const AttentionItem& b) { return keys(a) > keys(b); });
  }
  return plan;
}

}  // namespace quire::kernels::cuda
