// The choice of sampler.h made plainly: every weight of every id, pass after pass over all of them. What the
// sampler is compared with, bit by bit. Test-only.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

class NaiveSampler {
 public:
  // Ids at or above `tokenizer_size` are never sampled (checkpoints pad their vocabulary).
  explicit NaiveSampler(int64_t tokenizer_size);

  // The spec's counts are not looked at, but the tokens themselves. `logits` holds at least tokenizer_size
  // values. `failed` is set where one of them is not finite or every id is masked.
  SampledToken Sample(std::span<const float> logits, const SampleSpec& spec,
                      std::span<const TokenId> prompt = {}, std::span<const TokenId> output = {});

  // What the last row's token was picked from, with weights, unless it was picked greedily.
  std::vector<std::pair<TokenId, float>> Kept() const;

 private:
  // A place in the order "heavier first, then lower id".
  struct Candidate {
    float weight = 0.0f;
    TokenId id = 0;
  };

  static std::vector<TokenLogprob> TopLogprobs(std::span<const float> row, int32_t count, double log_total);
  void Adjust(const SampleSpec& spec);
  void PenalizeRepetition(float penalty, std::span<const TokenId> prompt, std::span<const TokenId> output);
  void PenalizeOutput(const SamplingParams& params, std::span<const TokenId> output);
  bool InVocabulary(TokenId id) const { return id >= 0 && id < tokenizer_size_; }

  // weights_ = exp((logits_ - top) * scale).
  void ComputeWeights(float top, float scale);
  double SumWeights() const { return SumFrom(0.0f); }
  // Of the weights that are at least `bound`.
  double SumFrom(float bound) const;
  // Apply top_k, top_p and min_p, in that order, by zeroing weights.
  void Filter(const SamplingParams& params);
  void FilterTopP(double top_p);
  // The last of the nucleus of this mass, where that is larger than kSmallNucleus.
  Candidate FindLargeNucleus(double mass) const;
  // best_ = the `count` heaviest (or all that weigh anything, if they are fewer), in no order.
  void SelectBest(size_t count);
  // Zeroes what comes after `last`.
  void KeepDownTo(Candidate last);
  TokenId Pick(double noise) const;

  int64_t tokenizer_size_;
  std::vector<float> logits_;   // the adjusted row, padded with -inf to whole runs
  std::vector<float> weights_;  // 1 for the best token, 0 for what is out
  std::vector<float> run_max_, order_;
  std::vector<Candidate> best_;
  std::vector<int32_t> counts_;  // per id; zero between calls
};

}  // namespace quire::kernels
