#include "worker/engine/batch_plan.h"

#include "absl/strings/str_cat.h"

namespace quire::worker {

void TakeSampled(const StepResult& result, std::vector<TokenId>& ids) {
  ids.clear();
  for (const SampledToken& token : result.tokens) ids.push_back(token.failed ? 0 : token.id);
}

absl::StatusOr<std::span<const TokenId>> ResolveIds(const BatchPlan& plan, std::span<const TokenId> sampled,
                                                    std::vector<TokenId>& buffer) {
  std::span<const TokenId> ids = plan.ids;
  size_t row = 0;
  for (const SequencePlan& sequence : plan.sequences) {
    if (const auto from = static_cast<size_t>(sequence.sampled_row); sequence.sampled_row != -1) {
      if (from >= sampled.size() || row >= plan.ids.size()) {
        return absl::InternalError(absl::StrCat("step ", plan.step, " begins with what row ",
                                                sequence.sampled_row, " of ", sampled.size(), " sampled"));
      }
      if (ids.data() == plan.ids.data()) buffer = plan.ids, ids = buffer;
      buffer[row] = sampled[from];
    }
    row += static_cast<size_t>(sequence.rows);
  }
  return ids;
}

}  // namespace quire::worker
