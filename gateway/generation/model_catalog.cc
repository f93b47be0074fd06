#include "gateway/generation/model_catalog.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(1);

}  // namespace

ModelCatalog::ModelCatalog(std::shared_ptr<grpc::Channel> coordinator, const Facts& facts)
    : facts_(facts), client_(std::move(coordinator)), thread_([this] { Run(); }) {}

ModelCatalog::~ModelCatalog() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    fetch_.reset();  // cancels
  }
  thread_.join();
}

ModelCatalog::Text ModelCatalog::TextOf(const std::string& digest) const {
  MutexLock lock(&mutex_);
  auto found = texts_.find(digest);
  return found == texts_.end() ? nullptr : found->second;
}

std::optional<CatalogModel> ModelCatalog::Find(const std::string& name) const {
  Facts::Model fact = facts_.FindModel(name);
  if (fact == nullptr) return std::nullopt;
  return CatalogModel{fact, TextOf(fact->bundle_digest())};
}

std::vector<CatalogModel> ModelCatalog::Servable() const {
  std::vector<CatalogModel> models;
  for (Facts::Model& fact : facts_.Models()) {
    if (Text text = TextOf(fact->bundle_digest()); text != nullptr) {
      models.push_back({std::move(fact), std::move(text)});
    }
  }
  return models;
}

bool ModelCatalog::complete() const { return Servable().size() == facts_.Models().size(); }

void ModelCatalog::Refresh() {
  MutexLock lock(&mutex_);
  dirty_ = true;
}

void ModelCatalog::Run() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &ModelCatalog::HasWork));
      if (closing_) return;
      dirty_ = false;
    }
    const bool all_loaded = LoadMissing();
    CallWaiters();
    if (all_loaded) continue;
    MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&closing_), kRetryAfter);
    dirty_ = true;
  }
}

void ModelCatalog::AfterNextLoad(std::function<void()> then) {
  MutexLock lock(&mutex_);
  waiters_.push_back(std::move(then));
}

void ModelCatalog::CallWaiters() {
  std::vector<std::function<void()>> waiters;
  {
    MutexLock lock(&mutex_);
    waiters.swap(waiters_);
  }
  for (const auto& waiter : waiters) waiter();
}

bool ModelCatalog::LoadMissing() {
  absl::flat_hash_set<std::string> named;
  bool all_loaded = true;
  for (const Facts::Model& fact : facts_.Models()) {
    const std::string& digest = fact->bundle_digest();
    if (!named.insert(digest).second || TextOf(digest) != nullptr) continue;
    absl::StatusOr<Text> text = Load(digest);
    if (!text.ok()) {
      Log(LogLevel::kWarn, "text_bundle_not_loaded", "model", fact->model(), "reason",
          MessageOf(text.status()));
      all_loaded = false;
      continue;
    }
    MutexLock lock(&mutex_);
    texts_[digest] = *std::move(text);
  }
  MutexLock lock(&mutex_);
  absl::erase_if(texts_, [&](const auto& entry) { return !named.contains(entry.first); });
  return all_loaded;
}

absl::StatusOr<ModelCatalog::Text> ModelCatalog::Load(const std::string& digest) {
  absl::StatusOr<std::string> data = absl::UnknownError("");
  Notification fetched;
  {
    MutexLock lock(&mutex_);
    if (closing_) return absl::CancelledError("shutting down");
    fetch_ = client_.GetTextBundle(digest, [&](absl::StatusOr<std::string> bytes) {
      data = std::move(bytes);
      fetched.Notify();
    });
  }
  fetched.WaitForNotification();
  QUIRE_RETURN_IF_ERROR(data.status());
  v1::TextBundle bundle;
  if (!bundle.ParseFromString(*data)) return absl::DataLossError("the text bundle is no TextBundle message");
  return TextModel::Create(bundle);
}

}  // namespace quire::gateway
