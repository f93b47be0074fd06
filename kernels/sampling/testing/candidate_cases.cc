#include "kernels/sampling/testing/candidate_cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"

namespace quire::kernels {
namespace {

// As a model's vocabulary is dealt out, or anyhow; a rank may have none.
std::vector<int64_t> AnyBegins(int64_t ids, int ranks, std::mt19937& random) {
  const int64_t runs = (ids + kRunIds - 1) / kRunIds;
  const bool even = random() % 2 == 0;
  std::vector<int64_t> begins(1, 0);
  for (int64_t rank = 1; rank < ranks; ++rank) {
    const int64_t run =
        even ? runs * rank / ranks : static_cast<int64_t>(random() % static_cast<uint64_t>(runs + 1));
    begins.push_back(std::min(ids, run * kRunIds));
  }
  std::ranges::sort(begins);
  return begins;
}

// Rows whose best stand on both sides of every border between ranks, by more than one way to deal runs out.
std::vector<std::vector<float>> RowsOfTies(int64_t ids) {
  std::vector<std::vector<float>> rows;
  for (const int64_t apart : {kRunIds, 4 * kRunIds, 7 * kRunIds}) {
    for (const float step : {0.0f, 1e-6f, 1e-4f}) {
      std::vector<float>& row = rows.emplace_back(static_cast<size_t>(ids), -1.0f);
      for (int64_t border = apart; border < ids; border += apart) {
        row[border - 1] = 2.0f - step * static_cast<float>(border % 5);
        row[border] = 2.0f + step * static_cast<float>(border % 3);
      }
    }
  }
  return rows;
}

class Comparison {
 public:
  Comparison(const RowScans& scans, int64_t ids) : scans_(scans), whole_(ids, scans), gathered_(ids, scans) {}

  void Expect(const std::vector<float>& row, const SampleSpec& spec, std::span<const int64_t> begins) {
    const RowNeed need = NeedOf(spec);
    if (need.whole()) return;
    const SamplingParams& params = spec.params;
    SCOPED_TRACE(testing::Message() << "temperature " << params.temperature << " top_k " << params.top_k
                                    << " top_p " << params.top_p << " min_p " << params.min_p << " on "
                                    << begins.size() << " ranks");
    const GatheredRow part = GatherCandidates(scans_, row, need, begins);
    ++compared_;
    fewer_ += part.logits.size() < row.size() ? 1 : 0;
    const SampledToken want = whole_.Sample(row, spec), got = gathered_.Sample(part.logits, spec, part.runs);
    ASSERT_EQ(got.failed, want.failed);
    ASSERT_EQ(got.id, want.id);
    if (want.failed || params.temperature < 1e-4f) return;  // nothing is weighed
    ASSERT_TRUE(gathered_.Kept() == whole_.Kept());
  }
  int64_t compared() const { return compared_; }
  int64_t fewer() const { return fewer_; }

 private:
  const RowScans& scans_;
  Sampler whole_, gathered_;
  int64_t compared_ = 0, fewer_ = 0;
};

// As a spec that needs less than the row may be.
void Simplify(SampleSpec& spec, std::mt19937& random) {
  spec.params.logprobs = false;
  spec.params.top_logprobs = 0;
  if (spec.params.top_k == 0 && random() % 4 != 0) spec.params.top_k = 20;
}

void ExpectBadOnesAreFound(Comparison& comparison, std::vector<float> row, std::span<const int64_t> begins) {
  SampleSpec greedy, usual;
  greedy.params.temperature = 0.0f;
  usual.params.top_k = 3;
  const int64_t ids = std::ssize(row);
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const int64_t at : {int64_t{0}, ids / 2, ids - 1}) {
      const float good = std::exchange(row[at], bad);
      comparison.Expect(row, greedy, begins);
      comparison.Expect(row, usual, begins);
      row[at] = good;
    }
  }
}

}  // namespace

GatheredRow GatherCandidates(const RowScans& scans, std::span<const float> row, const RowNeed& need,
                             std::span<const int64_t> begins) {
  GatheredRow out;
  for (size_t rank = 0; rank < begins.size(); ++rank) {
    const int64_t end = rank + 1 < begins.size() ? begins[rank + 1] : std::ssize(row);
    std::vector<float> part(row.begin() + begins[rank], row.begin() + end);
    std::vector<uint32_t> kept(static_cast<size_t>(RunWords(std::ssize(part))), ~0u);
    CandidateRuns(std::ssize(part), scans).Keep(part, need, kept);
    out.logits.insert(out.logits.end(), part.begin(), part.begin() + KeptIds(kept, std::ssize(part)));
    AppendRuns(kept, std::ssize(part), static_cast<int32_t>(begins[rank] / kRunIds), out.runs);
  }
  return out;
}

void ExpectCandidatesSuffice(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed) {
  Comparison comparison(scans, ids);
  std::mt19937 random(seed);
  std::vector<std::vector<float>> rows = UglyRows(ids, seed);
  for (std::vector<float>& row : RowsOfTies(ids)) rows.push_back(std::move(row));
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(testing::Message() << ids << " ids, row " << i);
    for (SampleSpec& spec : AssortedSpecs(ids, specs_per_row, seed + static_cast<uint32_t>(i))) {
      Simplify(spec, random);
      comparison.Expect(rows[i], spec, AnyBegins(ids, 1 + static_cast<int>(random() % 8), random));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  ExpectBadOnesAreFound(comparison, rows[0], AnyBegins(ids, 3, random));
  EXPECT_GT(4 * comparison.compared(), std::ssize(rows) * specs_per_row) << "most specs asked for whole rows";
  EXPECT_TRUE(ids < 40 * kRunIds || 4 * comparison.fewer() > comparison.compared());
}

}  // namespace quire::kernels
