#include "kernels/sampling/candidates.h"

#include <algorithm>
#include <bit>

#include "kernels/sampling/adjusted_row.h"
#include "kernels/sampling/run_bounds.h"

namespace quire::kernels {
namespace {

int64_t RunsOf(int64_t ids) { return (ids + kRunIds - 1) / kRunIds; }

// Calls take(run) for each whose bit is set, ascending.
template <typename Take>
void ForEachKept(std::span<const uint32_t> kept, int64_t ids, const Take& take) {
  const int64_t runs = RunsOf(ids);
  for (int64_t word = 0; word < std::ssize(kept); ++word) {
    for (uint32_t bits = kept[word]; bits != 0; bits &= bits - 1) {
      const int64_t run = 32 * word + std::countr_zero(bits);
      if (run < runs) take(run);
    }
  }
}

int64_t RunSize(int64_t run, int64_t ids) { return std::min(kRunIds, ids - run * kRunIds); }

void SetBit(std::span<uint32_t> words, int64_t bit) { words[bit / 32] |= 1u << (bit % 32); }

}  // namespace

int64_t RowNeed::Word() const {
  return static_cast<int64_t>(uint64_t{std::bit_cast<uint32_t>(temperature)} << 32 |
                              static_cast<uint32_t>(runs));
}

RowNeed RowNeed::OfWord(int64_t word) {
  const auto bits = static_cast<uint64_t>(word);
  return {static_cast<int32_t>(static_cast<uint32_t>(bits)),
          std::bit_cast<float>(static_cast<uint32_t>(bits >> 32))};
}

RowNeed NeedOf(const SampleSpec& spec) {
  return spec.scored >= 0 ? RowNeed{} : NeedOf(spec.params, IsAdjusted(spec));
}

RowNeed NeedOf(const SamplingParams& params, bool adjusted) {
  if (adjusted || params.logprobs || params.top_logprobs > 0) return {};
  if (params.temperature < kGreedyBelow) return {.runs = 1, .temperature = 0.0f};
  return {.runs = std::max(0, params.top_k), .temperature = params.temperature};
}

int64_t RunWords(int64_t ids) { return (RunsOf(ids) + 31) / 32; }

int64_t KeptIds(std::span<const uint32_t> kept, int64_t ids) {
  int64_t count = 0;
  ForEachKept(kept, ids, [&](int64_t run) { count += RunSize(run, ids); });
  return count;
}

void AppendRuns(std::span<const uint32_t> kept, int64_t ids, int32_t first_run, std::vector<int32_t>& runs) {
  ForEachKept(kept, ids, [&](int64_t run) { runs.push_back(first_run + static_cast<int32_t>(run)); });
}

CandidateRuns::CandidateRuns(int64_t ids, const RowScans& scans) : ids_(ids), scans_(scans) {
  maxima_.resize(RunsOf(ids));
  order_.reserve(maxima_.size());
}

void CandidateRuns::Keep(std::span<float> part, const RowNeed& need, std::span<uint32_t> kept) {
  std::ranges::fill(kept, 0);
  const auto runs = static_cast<int64_t>(maxima_.size());
  // Not a number where one isn't finite.
  const bool all =
      need.whole() || need.runs >= runs || scans_.maxima(part.data(), ids_, maxima_.data()) != 0.0f;
  if (all) {
    for (int64_t run = 0; run < runs; ++run) SetBit(kept, run);
    return;
  }
  Choose(need, kept);
  float* to = part.data();
  ForEachKept(kept, ids_, [&](int64_t run) {
    const float* from = part.data() + run * kRunIds;
    to = from == to ? to + RunSize(run, ids_) : std::copy_n(from, RunSize(run, ids_), to);
  });
}

void CandidateRuns::Choose(const RowNeed& need, std::span<uint32_t> kept) {
  const float top = *std::ranges::max_element(maxima_);
  // Ties go to the lowest id.
  if (need.temperature < kGreedyBelow) {
    return SetBit(kept, std::ranges::find(maxima_, top) - maxima_.begin());
  }
  const float scale = 1.0f / need.temperature;
  const float nth = NthLargest(maxima_, static_cast<size_t>(need.runs), scans_, order_, groups_);
  const float least = std::max(kLeastExponent, LeastOfBest(nth, top, scale));
  for (int64_t run = 0; run < std::ssize(maxima_); ++run) {
    if ((maxima_[run] - top) * scale >= least) SetBit(kept, run);
  }
}

}  // namespace quire::kernels
