// Turns a row of logits into a token: rank 0's, called by the engine thread. The result is a function of the
// logits and the SampleSpec alone. Order: bias, masks, penalties, temperature, top_k, top_p, min_p; ties go
// to the lowest id; the noise is counter-based, keyed by (seed, choice, position), and picks by the inverse
// of the distribution function in a fixed order. Only elementwise arithmetic and own exp/log, so the bits are
// the same on every CPU.
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

  // `logits` is a whole vocabulary row. `failed` is set where a logit is not finite or every id is masked.
  SampledToken Sample(std::span<const float> logits, const SampleSpec& spec);

 private:
  struct Candidate {
    float logit;
    TokenId id;
  };

  void ApplyBiasAndPenalties(const SampleSpec& spec);
  void ApplyPenalties(const SampleSpec& spec);
  TokenId PickFromAll(float top, float temperature, double noise);
  TokenId PickFromCandidates(const SampleSpec& spec, float top, double noise);
  void SelectTop(int64_t count);

  const int64_t tokenizer_size_;
  std::vector<float> logits_;          // adjusted; padded with -inf to whole blocks
  std::vector<float> block_max_;       // of each block of logits_
  std::vector<double> block_weights_;  // sums of exp over each block
  std::vector<Candidate> candidates_;  // best first
  std::vector<int32_t> counts_;        // per id, zero between calls
};

}  // namespace quire::worker
