#include "gateway/rpc/facts.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

Facts::Key Facts::FindKey(const std::string& key_id) const {
  MutexLock lock(&mutex_);
  auto found = current_.keys.find(key_id);
  return found == current_.keys.end() ? nullptr : found->second;
}

Facts::Model Facts::FindModel(const std::string& name) const {
  MutexLock lock(&mutex_);
  auto found = current_.models.find(name);
  return found == current_.models.end() ? nullptr : found->second;
}

std::vector<Facts::Model> Facts::Models() const {
  std::vector<Model> models;
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, model] : current_.models) models.push_back(model);
  }
  std::sort(models.begin(), models.end(),
            [](const Model& a, const Model& b) { return a->model() < b->model(); });
  return models;
}

bool Facts::synced() const {
  MutexLock lock(&mutex_);
  return ever_synced_;
}

bool Facts::current() const {
  MutexLock lock(&mutex_);
  return stream_synced_;
}

std::optional<int64_t> Facts::AwayForUs(int64_t now_us) const {
  MutexLock lock(&mutex_);
  if (!absence_) return std::nullopt;
  return absence_->AwakeUs(now_us);
}

int64_t Facts::Absence::AwakeUs(int64_t now_us) const {
  constexpr int64_t kLongestTryUs = 6'000'000;  // a connection's limit, and a little
  return until_last_try_us + std::clamp<int64_t>(now_us - last_try_us, 0, kLongestTryUs);
}

void Facts::BeginStream(int64_t now_us) {
  MutexLock lock(&mutex_);
  arriving_ = State();
  stream_synced_ = false;
  absence_ = Absence{absence_ ? absence_->AwakeUs(now_us) : 0, now_us};
}

bool Facts::Apply(const v1::WatchEvent& event) {
  MutexLock lock(&mutex_);
  if (event.event_case() == v1::WatchEvent::kSynced) {
    if (stream_synced_) return false;
    current_ = std::exchange(arriving_, State());
    stream_synced_ = ever_synced_ = true;
    absence_.reset();
    return true;
  }
  const bool models_changed = ApplyTo(stream_synced_ ? current_ : arriving_, event);
  return models_changed && stream_synced_;
}

bool Facts::ApplyTo(State& state, const v1::WatchEvent& event) {
  switch (event.event_case()) {
    case v1::WatchEvent::kKey:
      state.keys[event.key().key_id()] = std::make_shared<const v1::KeyFact>(event.key());
      return false;
    case v1::WatchEvent::kKeyRemoved:
      state.keys.erase(event.key_removed());
      return false;
    case v1::WatchEvent::kModel:
      state.models[event.model().model()] = std::make_shared<const v1::ModelFact>(event.model());
      return true;
    case v1::WatchEvent::kModelRemoved:
      state.models.erase(event.model_removed());
      return true;
    default:
      return false;
  }
}

}  // namespace quire::gateway
