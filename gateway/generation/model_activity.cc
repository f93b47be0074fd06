#include "gateway/generation/model_activity.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace quire::gateway {

void ModelActivity::Begin(const std::string& model) {
  MutexLock lock(&mutex_);
  ++models_[model].waiting;
}

void ModelActivity::FirstToken(const std::string& model, int64_t took_us, int64_t now_us) {
  MutexLock lock(&mutex_);
  Seen& seen = models_[model];
  --seen.waiting;
  ++seen.running;
  Keep(seen.first_token_s, {now_us, static_cast<double>(took_us) / 1e6});
}

void ModelActivity::End(const std::string& model, std::optional<Pace> pace, int64_t now_us) {
  MutexLock lock(&mutex_);
  Seen& seen = models_[model];
  --(pace ? seen.running : seen.waiting);
  if (!pace || pace->tokens < kLeastTokens || pace->took_us <= 0) return;
  const double seconds = static_cast<double>(pace->took_us) / 1e6;
  Keep(seen.tokens_per_s, {now_us, static_cast<double>(pace->tokens - 1) / seconds});
}

ModelActivity::Summary ModelActivity::Of(const std::string& model, int64_t now_us) const {
  MutexLock lock(&mutex_);
  const auto found = models_.find(model);
  if (found == models_.end()) return {};
  const Seen& seen = found->second;
  const auto lately = [&](const Sample& sample) { return now_us - sample.at_us <= kLatelyUs; };
  return {.waiting = seen.waiting,
          .running = seen.running,
          .answers = static_cast<size_t>(
              std::count_if(seen.first_token_s.begin(), seen.first_token_s.end(), lately)),
          .first_token_s = SpreadOf(seen.first_token_s, now_us, Best::kLow),
          .tokens_per_s = SpreadOf(seen.tokens_per_s, now_us, Best::kHigh)};
}

void ModelActivity::Keep(std::deque<Sample>& samples, Sample sample) {
  if (samples.size() == kKept) samples.pop_front();
  samples.push_back(sample);
}

std::optional<ModelActivity::Spread> ModelActivity::SpreadOf(const std::deque<Sample>& samples,
                                                             int64_t now_us, Best best) {
  std::vector<double> values;
  for (const Sample& sample : samples) {
    if (now_us - sample.at_us <= kLatelyUs) values.push_back(sample.value);
  }
  if (values.empty()) return std::nullopt;
  if (best == Best::kLow) {
    std::sort(values.begin(), values.end());
  } else {
    std::sort(values.begin(), values.end(), std::greater<>());
  }
  // The nearest rank: the least good of the best share.
  const auto at = [&](size_t percent) { return values[(values.size() * percent + 99) / 100 - 1]; };
  return Spread{at(50), at(95)};
}

}  // namespace quire::gateway
