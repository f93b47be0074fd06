#include "kernels/cuda/attention_plan.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace quire::kernels::cuda {
namespace {

int DivideUp(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

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

absl::Status CheckSpan(const AttentionSpan& span, size_t index) {
  if (span.tokens < 1 || span.position < 0 || span.first_token < 0) {
    return absl::InvalidArgumentError(absl::StrCat("attention: span ", index, " has ", span.tokens,
                                                   " tokens at position ", span.position, ", row ",
                                                   span.first_token, ": leave out what has no tokens"));
  }
  const int64_t end = int64_t{span.position} + span.tokens;
  if (end > std::numeric_limits<int32_t>::max() ||
      static_cast<int64_t>(span.pages.size()) * kPageKeys < end) {
    return absl::InvalidArgumentError(
        absl::StrCat("attention: span ", index, " ends at position ", end, ", but its ", span.pages.size(),
                     " pages hold ", span.pages.size() * kPageKeys, ": give it its whole block table"));
  }
  return absl::OkStatus();
}

// How many splits a block takes, so that at most about `wanted` blocks come out.
int SplitsOfBlock(std::span<const AttentionSpan> spans, const Class& of, const AttentionLimits& limits) {
  int64_t pieces = 0, tiles = 0, most = 1;
  for (const AttentionSpan& span : spans) {
    if (!Belongs(span, of, limits.group)) continue;
    const int64_t of_span = DivideUp(span.tokens * limits.group, of.rows) * int64_t{limits.kv_heads};
    tiles += of_span;
    pieces += of_span * Splits(span);
    most = std::max<int64_t>(most, Splits(span));
  }
  if (tiles >= of.wanted) return static_cast<int>(most);
  return static_cast<int>(std::clamp<int64_t>(DivideUp(pieces, of.wanted), 1, most));
}

int64_t PartialRows(const AttentionSpan& span, const AttentionLimits& limits) {
  return static_cast<int64_t>(Splits(span)) * span.tokens * limits.group * limits.kv_heads;
}

class Planner {
 public:
  Planner(std::span<const AttentionSpan> spans, const AttentionLimits& limits)
      : spans_(spans),
        limits_(limits),
        classes_{{true, kWarpRows, limits.narrow_blocks}, {false, limits.wide_rows, limits.wide_blocks}} {}

  AttentionPlan Plan() {
    for (const AttentionSpan& span : spans_) {
      plan_.sequences.push_back(
          {span.first_token, span.tokens, span.position, static_cast<int32_t>(plan_.tables.size()), -1});
      plan_.tables.insert(plan_.tables.end(), span.pages.begin(), span.pages.end());
      plan_.tables.resize((plan_.tables.size() + 3) / 4 * 4);
    }
    for (const Class& of : classes_) AddClass(of);
    return std::move(plan_);
  }

 private:
  void AddClass(const Class& of) {
    const int splits_of_block = SplitsOfBlock(spans_, of, limits_);
    std::vector<AttentionItem>& items = of.narrow ? plan_.narrow : plan_.wide;
    for (int i = 0; i < static_cast<int>(spans_.size()); ++i) {
      if (!Belongs(spans_[i], of, limits_.group)) continue;
      const bool cut = Splits(spans_[i]) > splits_of_block &&
                       plan_.partial_rows + PartialRows(spans_[i], limits_) <= MostPartialRows();
      if (cut) AddPartial(i);
      AddItems(i, cut ? splits_of_block : Splits(spans_[i]), of.rows, items);
    }
    std::stable_sort(items.begin(), items.end(),
                     [this](const AttentionItem& a, const AttentionItem& b) { return Keys(a) > Keys(b); });
  }

  int64_t MostPartialRows() const {
    return std::min<int64_t>(limits_.partial_rows, std::numeric_limits<int32_t>::max());
  }

  void AddPartial(int sequence) {
    const AttentionSpan& span = spans_[sequence];
    const int offset = static_cast<int>(plan_.partial_rows), token_rows = limits_.group * limits_.kv_heads;
    plan_.sequences[sequence].partial_offset = offset;
    plan_.partial_rows += PartialRows(span, limits_);
    for (int token = 0; token < span.tokens; ++token) {
      plan_.combine.push_back({span.first_token + token, offset + token * token_rows,
                               span.tokens * token_rows, SplitOf(span.position + token) + 1});
    }
  }

  void AddItems(int sequence, int splits_of_block, int block_rows, std::vector<AttentionItem>& items) const {
    const AttentionSpan& span = spans_[sequence];
    const int rows = span.tokens * limits_.group;
    for (int row = 0; row < rows; row += block_rows) {
      const int last_token = (std::min(row + block_rows, rows) - 1) / limits_.group;
      const int splits = SplitOf(span.position + last_token) + 1;
      for (int split = 0; split < splits; split += splits_of_block) {
        items.push_back({sequence, row, split, std::min(split + splits_of_block, splits)});
      }
    }
  }

  int Keys(const AttentionItem& item) const {
    const int end = spans_[item.sequence].position + item.first_row / limits_.group + 1;
    return std::min(SplitBegin(item.end_split), end) - SplitBegin(item.first_split);
  }

  const std::span<const AttentionSpan> spans_;
  const AttentionLimits& limits_;
  const Class classes_[2];
  AttentionPlan plan_;
};

}  // namespace

absl::StatusOr<AttentionPlan> PlanAttention(std::span<const AttentionSpan> spans,
                                            const AttentionLimits& limits) {
  for (size_t i = 0; i < spans.size(); ++i) {
    if (absl::Status status = CheckSpan(spans[i], i); !status.ok()) return status;
  }
  return Planner(spans, limits).Plan();
}

absl::Status FillUp(AttentionPlan& plan, const AttentionCounts& counts) {
  const AttentionCounts there = plan.counts();
  if (there.narrow > counts.narrow || there.wide > counts.wide || there.combine > counts.combine) {
    return absl::ResourceExhaustedError(
        absl::StrCat("attention: a plan of ", there.narrow, " narrow and ", there.wide, " wide items and ",
                     there.combine, " combined tokens is more than the graph was captured for (",
                     counts.narrow, ", ", counts.wide, ", ", counts.combine, "): take a larger one"));
  }
  plan.narrow.resize(counts.narrow, AttentionItem{-1, 0, 0, 0});
  plan.wide.resize(counts.wide, AttentionItem{-1, 0, 0, 0});
  plan.combine.resize(counts.combine, CombineToken{});
  return absl::OkStatus();
}

}  // namespace quire::kernels::cuda
