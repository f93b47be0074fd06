// What of a row of logits has to cross to the rank that samples it, where each rank of a group has a range of
// its ids: often a few runs (row_scans.h). Exact, since a rank's own best is at most the row's: what it
// leaves out by its own runs weighs nothing, or less, whatever the rounding, than top_k ids that it sends. A
// part that holds something not finite crosses whole, for the sampler to find. The whole row is needed where
// the sampler looks at more than the best: top_k off (unless greedy), logprobs, bias, masks, penalties. Pure
// but for each object's buffers; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

// What sampling a row needs of it; all ranks know it before they compute the row.
struct RowNeed {
  int32_t runs = 0;  // so many of the best, and whatever may weigh as much; 0: the whole row
  float temperature = 0.0f;

  bool whole() const { return runs <= 0; }
  // For plans: the same in a word.
  int64_t Word() const;
  static RowNeed OfWord(int64_t word);
  friend bool operator==(const RowNeed&, const RowNeed&) = default;
};
RowNeed NeedOf(const SampleSpec& spec);
// `adjusted`: a bias, mask or penalty looks at the row before it is sampled (adjusted_row.h).
RowNeed NeedOf(const SamplingParams& params, bool adjusted);

// Words with a bit for each run of so many ids, the first run's the lowest of the first word.
int64_t RunWords(int64_t ids);
// The ids of those runs of the first `ids` whose bits are set. Bits behind the last run count for nothing.
int64_t KeptIds(std::span<const uint32_t> kept, int64_t ids);
// Appends their numbers, counted from `first_run` on.
void AppendRuns(std::span<const uint32_t> kept, int64_t ids, int32_t first_run, std::vector<int32_t>& runs);

// A rank's choice. Each thread that chooses has one.
class CandidateRuns {
 public:
  // Of the part of a row that has `ids` ids, from a run's beginning on. It may have none.
  explicit CandidateRuns(int64_t ids, const RowScans& scans = PortableScans());
  // Moves the runs that are needed to the front of `part`, in their order, and sets their bits in `kept`
  // [RunWords(ids)].
  void Keep(std::span<float> part, const RowNeed& need, std::span<uint32_t> kept);
  int64_t ids() const { return ids_; }

 private:
  // By maxima_, of finite ids.
  void Choose(const RowNeed& need, std::span<uint32_t> kept);

  const int64_t ids_;
  const RowScans& scans_;
  std::vector<float> maxima_, order_, groups_;
};

}  // namespace quire::kernels
