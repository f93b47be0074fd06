#include "gateway/generation/model_catalog.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "gateway/text/model_check.h"

namespace quire::gateway {
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

CatalogModel ModelCatalog::WithText(Facts::Model fact) const {
  MutexLock lock(&mutex_);
  const auto found = texts_.find(fact->bundle_digest());
  const bool failed = failures_.Has(fact->bundle_digest());
  return {std::move(fact), found == texts_.end() ? nullptr : found->second, failed};
}

std::optional<CatalogModel> ModelCatalog::Find(const std::string& name) const {
  Facts::Model fact = facts_.FindModel(name);
  if (fact == nullptr) return std::nullopt;
  return WithText(std::move(fact));
}

std::vector<CatalogModel> ModelCatalog::Servable() const {
  std::vector<CatalogModel> models;
  for (Facts::Model& fact : facts_.Models()) {
    CatalogModel model = WithText(std::move(fact));
    if (model.text != nullptr) models.push_back(std::move(model));
  }
  return models;
}

size_t ModelCatalog::failed() const {
  size_t count = 0;
  for (Facts::Model& fact : facts_.Models()) count += WithText(std::move(fact)).failed;
  return count;
}

bool ModelCatalog::settled() const {
  for (Facts::Model& fact : facts_.Models()) {
    const CatalogModel model = WithText(std::move(fact));
    if (model.text == nullptr && !model.failed) return false;
  }
  return true;
}

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
    const bool tries_again = LoadMissing();
    CallWaiters();
    if (!tries_again) continue;
    // Until the next is due, or the facts change.
    MutexLock lock(&mutex_);
    const int64_t pause_ms = std::max<int64_t>(failures_.NextMs() - clock_.NowMs(), 0);
    mutex_.AwaitWithTimeout(absl::Condition(this, &ModelCatalog::HasWork), absl::Milliseconds(pause_ms));
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

bool ModelCatalog::Due(const std::string& digest) const {
  MutexLock lock(&mutex_);
  return !texts_.contains(digest) && failures_.Due(digest, clock_.NowMs());
}

void ModelCatalog::Load(const v1::ModelFact& fact) {
  const std::string& digest = fact.bundle_digest();
  const absl::StatusOr<v1::TextBundle> bundle = Fetch(digest);
  absl::StatusOr<Text> text = bundle.ok() ? LoadTextModel(*bundle) : bundle.status();
  MutexLock lock(&mutex_);
  if (text.ok()) {
    texts_[digest] = *std::move(text);
    failures_.Forget(digest);
    return;
  }
  if (closing_) return;
  std::string retry = "when the model's files change";
  if (bundle.ok()) {
    failures_.FailedForGood(digest);
  } else {
    retry = absl::StrCat("in ", failures_.Failed(digest, clock_.NowMs()), " ms");
  }
  Log(LogLevel::kError, "text_bundle_not_loaded", "model", fact.model(), "reason", MessageOf(text.status()),
      "retry", retry);
}

bool ModelCatalog::LoadMissing() {
  absl::flat_hash_set<std::string> named;
  for (const Facts::Model& fact : facts_.Models()) {
    const std::string& digest = fact->bundle_digest();
    if (named.insert(digest).second && Due(digest)) Load(*fact);
  }
  MutexLock lock(&mutex_);
  absl::erase_if(texts_, [&](const auto& entry) { return !named.contains(entry.first); });
  failures_.KeepOnly(named);
  return failures_.NextMs() != RetryPauses::kNever;
}

absl::StatusOr<v1::TextBundle> ModelCatalog::Fetch(const std::string& digest) {
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
  return bundle;
}

}  // namespace quire::gateway
