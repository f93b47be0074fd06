#include "worker/engine/slot_sampler.h"

#include <algorithm>
#include <utility>

namespace quire::worker {

void SlotSampler::Open(const SlotSampling& sampling) {
  common_ = {.params = sampling.params, .seed = sampling.seed};
  masked_ids_ = std::exchange(common_.params.masked_ids, {});
  counts_ = sampling.counts;
  counted_ = sampling.tokens;
  guesses_.clear();
  specs_.clear();
}

// Without specs: who is forked from has one for each fork, and each may have thousands of biases.
void SlotSampler::Fork(const SlotSampler& from) {
  common_ = from.common_;
  masked_ids_ = from.masked_ids_;
  counts_ = from.counts_;
  counted_ = from.counted_;
  guesses_ = from.guesses_;
  specs_.clear();
}

void SlotSampler::RollBack(int64_t position) {
  for (; counted_ > position && !guesses_.empty(); --counted_) {
    counts_.RemoveOutput(guesses_.back());
    guesses_.pop_back();
  }
}

void SlotSampler::Advance(int64_t position, std::span<const TokenId> ids, int64_t sure) {
  if (!common_.params.penalizes()) return;
  guesses_.clear();
  for (; counted_ < position + std::ssize(ids); ++counted_) {
    const TokenId id = ids[counted_ - position];
    counts_.AddOutput(id);
    if (counted_ >= sure) guesses_.push_back(id);
  }
}

std::span<const SampleSpec> SlotSampler::Specs(std::span<const TokenId> ids,
                                               std::span<const WantedRow> wanted, int32_t first_row,
                                               std::span<const RowSampling> samples) {
  specs_.resize(wanted.size(), common_);
  for (size_t i = 0; i < wanted.size(); ++i) {
    SampleSpec& spec = specs_[i];
    const RowSampling& sample = samples[i];
    if (wanted[i].scored != -1) {
      spec = {};
      spec.params.top_logprobs = sample.top_logprobs;
      spec.scored = wanted[i].scored;
      continue;
    }
    if (spec.scored != -1) spec = common_;  // as it was in the step before
    spec.choice = sample.choice;
    spec.position = sample.position;
    spec.allowed = sample.allowed;
    if (sample.masked != !spec.params.masked_ids.empty()) {
      spec.params.masked_ids = sample.masked ? masked_ids_ : std::vector<TokenId>();
    }
    if (!common_.params.penalizes()) continue;
    spec.counts = &counts_;
    const int64_t sure = std::ssize(ids) - std::ssize(guesses_), before = wanted[i].row - first_row + 1;
    spec.uncounted = ids.subspan(std::max(before, sure));
  }
  return specs_;
}

}  // namespace quire::worker
