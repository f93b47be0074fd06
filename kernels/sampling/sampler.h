// Turns a row of logits into a token: each backend on the host has one for every thread that samples. The
// result is a function of the logits and the SampleSpec alone. Order: bias, masks, penalties, temperature,
// top_k, top_p, min_p; ties go to the lowest id; the noise is counter-based, keyed by (seed, choice,
// position), and picks by the inverse of the distribution function in a fixed order. Only the arithmetic of
// fixed_math.h, so the bits are the same on every CPU. What always holds: only runs of ids with one that may
// be kept are weighed; all others weigh nothing, so that leaving them out of a sum changes no bit of it, nor
// does leaving them out of the row (candidates.h).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

class Sampler {
 public:
  // Ids at or above `tokenizer_size` are never sampled (checkpoints pad their vocabulary).
  explicit Sampler(int64_t tokenizer_size, const RowScans& scans = PortableScans());

  // `logits` holds at least tokenizer_size values, or, where `runs` names any, those of these runs alone, one
  // after the other: at least what the spec needs (NeedOf), ascending. `failed` is set where a value is not
  // finite or every id is masked.
  SampledToken Sample(std::span<const float> logits, const SampleSpec& spec,
                      std::span<const int32_t> runs = {});

  int64_t ids() const { return tokenizer_size_; }
  // What one takes.
  static int64_t BytesFor(int64_t tokenizer_size);
  // What the last row's token was picked from, with weights, ascending, unless it was picked greedily.
  std::vector<std::pair<TokenId, float>> Kept() const;

 private:
  // Of the runs that may be kept, one after the other; a place is an index into their weights. Places ascend
  // like their ids.
  struct Candidate {
    float weight = 0.0f;
    int32_t place = 0;
  };

  // What there is of the row, without what follows it.
  std::span<const float> TakeRow(std::span<const float> logits, std::span<const int32_t> runs);
  // ln of the sum of e^logit.
  double LogTotal(std::span<const float> row);
  // The `count` likeliest of the row.
  std::vector<TokenLogprob> TopLogprobs(std::span<const float> row, size_t count, double log_total);
  TokenId PickGreedily(std::span<const float> row, float top) const;
  TokenId PickByNoise(std::span<const float> row, float top, const SampleSpec& spec);
  // The lowest (logit - top) * scale of a run that may hold a kept id.
  float LeastExponent(const SamplingParams& params, float top, float scale);
  float NthLargest(std::span<const float> values, size_t count);
  // Weighs the runs that reach it.
  void Weigh(std::span<const float> row, float top, float scale, float least);
  double SumWeights() const;
  // Of the weights that are at least `bound`.
  double SumFrom(float bound);
  // Apply top_k, top_p and min_p, in that order.
  void Filter(const SamplingParams& params);
  void FilterTopP(double top_p);
  // The last of the nucleus of this mass, where that is larger than the largest small one.
  Candidate FindLargeNucleus(double mass);
  // bins_ = the sums of share(weight) by the upper halves of the weights' bits, in whose order they are.
  template <typename Share>
  void FillBins(const Share& share);
  // A lower bound of the count-th best weight.
  float BoundOfBest(size_t count);
  // Where the bits of the lightest weight of a nucleus are.
  struct BitRange {
    uint32_t begin = 0, end = 0;
  };
  BitRange BitsOfLast(double mass);
  // best_ = the `count` heaviest (or all that weigh anything, if they are fewer), in no order.
  void SelectBest(size_t count);
  // Nothing but best_ is kept.
  void KeepBest();
  // Zeroes what comes after `last`.
  void KeepDownTo(Candidate last);
  void KeepFrom(float bound);
  TokenId Pick(double noise) const;
  TokenId IdAt(int64_t place) const { return IdOf(runs_[place / kRunIds] * kRunIds + place % kRunIds); }
  // Of what stands there in the row.
  TokenId IdOf(int64_t at) const {
    const int64_t run = row_runs_.empty() ? at / kRunIds : row_runs_[at / kRunIds];
    return static_cast<TokenId>(run * kRunIds + at % kRunIds);
  }

  const int64_t tokenizer_size_;
  const RowScans& scans_;
  std::span<const int32_t> row_runs_;  // those in the row, if it isn't all
  std::vector<float> adjusted_;
  std::vector<float> maxima_;  // of the row's runs
  std::vector<float> order_, groups_;
  // Of the runs that may be kept: their numbers, sums and weights, 1 for the best token, 0 for what is out.
  std::vector<int32_t> runs_;
  std::vector<float> sums_, scratch_;
  std::vector<float> weights_;
  std::vector<Candidate> best_;
  std::vector<double> bins_;
};

}  // namespace quire::kernels
