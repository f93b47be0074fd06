#include "kernels/sampling/testing/naive_choices.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/naive_sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"

namespace quire::kernels {
namespace {

void ExpectSame(Sampler& sampler, NaiveSampler& naive, const std::vector<float>& row,
                const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  SCOPED_TRACE(testing::Message() << "temperature " << params.temperature << " top_k " << params.top_k
                                  << " top_p " << params.top_p << " min_p " << params.min_p);
  const auto output = std::span(kCountedOutput).first(std::size(kCountedOutput) - spec.uncounted.size());
  const SampledToken got = sampler.Sample(row, spec), want = naive.Sample(row, spec, kCountedPrompt, output);
  ASSERT_EQ(DifferenceOf(got, want), "");
  if (got.failed || spec.scored >= 0 || params.temperature < 1e-4f) return;  // nothing is weighed
  ASSERT_TRUE(sampler.Kept() == naive.Kept());
}

}  // namespace

void ExpectNaiveChoices(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed) {
  Sampler sampler(ids, scans);
  NaiveSampler naive(ids);
  const std::vector<std::vector<float>> rows = UglyRows(ids, seed);
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(testing::Message() << ids << " ids, row " << i);
    for (const SampleSpec& spec : AssortedSpecs(ids, specs_per_row, seed + static_cast<uint32_t>(i))) {
      ExpectSame(sampler, naive, rows[i], spec);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  std::vector<float> row = rows[0];
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const int64_t at : {int64_t{0}, ids / 2, ids - 1}) {
      const float good = std::exchange(row[at], bad);
      ExpectSame(sampler, naive, row, AssortedSpecs(ids, 1, seed)[0]);
      row[at] = good;
    }
  }
}

}  // namespace quire::kernels
