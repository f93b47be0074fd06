// Turns a row of logits into a token: rank 0's, called by the engine thread. The result is a function of the
// logits and the SampleSpec alone. Order: bias, masks, penalties, temperature, top_k, top_p, min_p; ties go
// to the lowest id; the noise is counter-based, keyed by (seed, choice, position), and picks by the inverse
// of the distribution function in a fixed order. Only the arithmetic of fixed_math.h, so the bits are the
// same on every CPU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/engine/batch_plan.h"

namespace quire::worker {

class Sampler {
 public:
  // Ids at or above `tokenizer_size` are never sampled (checkpoints pad their vocabulary).
  explicit Sampler(int64_t tokenizer_size);

  // `logits` holds at least tokenizer_size values. `failed` is set where one of them is not finite or every
  // id is masked.
  SampledToken Sample(std::span<const float> logits, const SampleSpec& spec);

 private:
  struct Candidate {
    float logit = 0.0f;
    TokenId id = 0;
    double weight = 0.0;  // exp((logit - top) / temperature)
  };

  void Adjust(const SampleSpec& spec);
  void PenalizeRepetition(const SampleSpec& spec);
  void PenalizeOutput(const SampleSpec& spec);
  bool InVocabulary(TokenId id) const { return id >= 0 && id < tokenizer_size_; }

  // Of logits_: the largest value (fills block_max_), and the sum of exp((logit - top) * scale) (fills
  // block_weights_).
  float FindTop();
  double SumWeights(float top, float scale);
  TokenId PickFromAll(float top, float scale, double noise);
  TokenId PickFromBest(const SamplingParams& params, float top, float scale, double noise);
  // candidates_ = the `count` best, best first.
  void SelectBest(size_t count);
  // How many of candidates_ top_p and min_p leave; SIZE_MAX if that needs more candidates than there are.
  size_t CountKept(const SamplingParams& params, double total, bool all_selected) const;

  const int64_t tokenizer_size_;
  std::vector<float> logits_;  // the adjusted row, padded with -inf to whole blocks
  std::vector<float> block_max_;
  std::vector<double> block_weights_;
  std::vector<float> scratch_;
  std::vector<Candidate> candidates_;
  std::vector<int32_t> counts_;  // per id; zero between calls
};

}  // namespace quire::worker
