#include "gateway/generation/prompt_scores.h"

#include <algorithm>

namespace quire::gateway {

bool AreLogprobs(const google::protobuf::RepeatedField<float>& logprobs) {
  return std::ranges::all_of(logprobs, [](float logprob) { return logprob <= 0; });  // NaN isn't
}

bool AreLogprobs(const google::protobuf::RepeatedPtrField<v1::TopLogprobs>& tops) {
  return std::ranges::all_of(tops, [](const v1::TopLogprobs& top) { return AreLogprobs(top.logprobs()); });
}

TokenChance ChanceOf(TokenId id, float logprob) {
  return {.id = id, .logprob = std::max(logprob, kLeastLogprob)};
}

bool PromptScores::Append(const v1::PromptScores& more) {
  const auto count = static_cast<size_t>(more.logprobs_size());
  const int with_top = top_each_ > 0 ? more.logprobs_size() : 0;
  const auto has_all = [this](const v1::TopLogprobs& top) {
    return top.ids_size() == static_cast<int>(top_each_) && top.logprobs_size() == top.ids_size();
  };
  // Of a vocabulary of fewer ids than were asked for there are fewer: no group has one.
  if (count == 0 || more.first_position() != next() || count > ids_.size() - next() ||
      more.top_logprobs_size() != with_top || !std::ranges::all_of(more.top_logprobs(), has_all) ||
      !AreLogprobs(more.logprobs()) || !AreLogprobs(more.top_logprobs())) {
    return false;
  }
  for (size_t i = 0; i < count; ++i) {
    const TokenId id = ids_[next()];
    own_.push_back(ChanceOf(id, more.logprobs(static_cast<int>(i))).logprob);
    for (int j = 0; j < static_cast<int>(top_each_); ++j) {
      const v1::TopLogprobs& top = more.top_logprobs(static_cast<int>(i));
      top_.push_back(ChanceOf(top.ids(j), top.logprobs(j)));
    }
  }
  return true;
}

SampledToken PromptScores::At(size_t position) const {
  SampledToken token{.token = {.id = ids_[position], .logprob = own_[position - 1]}};
  const auto first = top_.begin() + static_cast<ptrdiff_t>((position - 1) * top_each_);
  token.top.assign(first, first + top_each_);
  return token;
}

}  // namespace quire::gateway
