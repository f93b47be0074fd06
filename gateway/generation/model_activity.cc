#include "gateway/generation/model_activity.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace quire::gateway {

void ModelActivity::Begin(const std::string& model) {
  MutexLock lock(&mutex_);
  ++models_[model].waiting;
}

void ModelActivity::Placed(const std::string& model, const std::string& numerics_id) {
  MutexLock lock(&mutex_);
  models_[model].numerics_id = numerics_id;
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

void ModelActivity::Saw(const std::vector<Facts::Model>& models, int64_t now_us) {
  absl::flat_hash_set<std::string> ready;
  MutexLock lock(&mutex_);
  for (const Facts::Model& model : models) {
    models_.try_emplace(model->model());
    if (model->groups_ready() > 0) ready.insert(model->model());
  }
  for (auto& [name, seen] : models_) seen.uptime.Saw(ready.contains(name), now_us);
}

ModelActivity::Summary ModelActivity::Of(const std::string& model, int64_t now_us) const {
  const Seen seen = SeenOf(model);
  std::vector<double> first_token_s = Lately(seen.first_token_s, now_us);
  const size_t answers = first_token_s.size();
  return {.waiting = seen.waiting,
          .running = seen.running,
          .answers = answers,
          .first_token_s = SpreadOf(std::move(first_token_s), Best::kLow),
          .tokens_per_s = SpreadOf(Lately(seen.tokens_per_s, now_us), Best::kHigh),
          .numerics_id = seen.numerics_id,
          .uptime = seen.uptime.Share(now_us)};
}

ModelActivity::Seen ModelActivity::SeenOf(const std::string& model) const {
  MutexLock lock(&mutex_);
  const auto found = models_.find(model);
  return found == models_.end() ? Seen() : found->second;
}

void ModelActivity::Keep(std::deque<Sample>& samples, Sample sample) {
  if (samples.size() == kKept) samples.pop_front();
  samples.push_back(sample);
}

std::vector<double> ModelActivity::Lately(const std::deque<Sample>& samples, int64_t now_us) {
  std::vector<double> values;
  for (const Sample& sample : samples) {
    if (now_us - sample.at_us <= kLatelyUs) values.push_back(sample.value);
  }
  return values;
}

std::optional<ModelActivity::Spread> ModelActivity::SpreadOf(std::vector<double> values, Best best) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  if (best == Best::kHigh) std::reverse(values.begin(), values.end());
  // The nearest rank: the least good of the best share.
  const auto at = [&](size_t percent) { return values[(values.size() * percent + 99) / 100 - 1]; };
  return Spread{at(50), at(95)};
}

}  // namespace quire::gateway
