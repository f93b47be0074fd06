#include "gateway/generation/model_catalog.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "gateway/text/model_check.h"

namespace quire::gateway {
namespace {

absl::StatusOr<v1::TextBundle> BundleOf(const absl::StatusOr<std::string>& bytes) {
  QUIRE_RETURN_IF_ERROR(bytes.status());
  v1::TextBundle bundle;
  if (!bundle.ParseFromString(*bytes)) return absl::DataLossError("the text bundle is no TextBundle message");
  return bundle;
}

}  // namespace

ModelCatalog::ModelCatalog(std::shared_ptr<grpc::Channel> coordinator, const Facts& facts)
    : facts_(facts), client_(std::move(coordinator)), thread_([this] { Run(); }) {}

ModelCatalog::~ModelCatalog() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
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

ModelCatalog::Counts ModelCatalog::Count() const {
  Counts counts;
  for (Facts::Model& fact : facts_.Models()) {
    const CatalogModel model = WithText(std::move(fact));
    ++(model.text != nullptr ? counts.servable : model.failed ? counts.failed : counts.loading);
  }
  return counts;
}

void ModelCatalog::Refresh() {
  MutexLock lock(&mutex_);
  dirty_ = true;
}

void ModelCatalog::Run() {
  while (true) {
    std::optional<Fetched> fetched;
    {
      MutexLock lock(&mutex_);
      AwaitWork();
      if (closing_) return;
      dirty_ = false;
      fetched = TakeFetched();
    }
    if (fetched) Load(*fetched);
    const bool asked = FetchMissing();
    if (fetched || !asked) CallWaiters();
  }
}

void ModelCatalog::AwaitWork() {
  const int64_t next_ms = failures_.NextMs();
  const absl::Condition has_work(this, &ModelCatalog::HasWork);
  if (next_ms == RetryPauses::kNever || fetches_.size() == kFetchesAtOnce) return mutex_.Await(has_work);
  mutex_.AwaitWithTimeout(has_work, absl::Milliseconds(std::max<int64_t>(next_ms - clock_.NowMs(), 0)));
}

std::optional<ModelCatalog::Fetched> ModelCatalog::TakeFetched() {
  if (fetched_.empty()) return std::nullopt;
  std::optional<Fetched> first = std::move(fetched_.front());
  fetched_.erase(fetched_.begin());
  fetches_.erase(first->digest);
  return first;
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

bool ModelCatalog::FetchMissing() {
  bool asked = false;
  absl::flat_hash_set<std::string> named;
  for (const Facts::Model& fact : facts_.Models()) {
    const std::string& digest = fact->bundle_digest();
    const bool room = fetches_.size() < kFetchesAtOnce && !fetches_.contains(digest);
    if (!named.insert(digest).second || !room || !TakeIfDue(digest)) continue;
    fetches_[digest] = Fetch(*fact);
    asked = true;
  }
  MutexLock lock(&mutex_);
  absl::erase_if(texts_, [&](const auto& entry) { return !named.contains(entry.first); });
  failures_.KeepOnly(named);
  return asked;
}

bool ModelCatalog::TakeIfDue(const std::string& digest) {
  MutexLock lock(&mutex_);
  if (texts_.contains(digest) || !failures_.Due(digest, clock_.NowMs())) return false;
  failures_.Trying(digest);
  return true;
}

std::unique_ptr<RpcCall> ModelCatalog::Fetch(const v1::ModelFact& fact) {
  return client_.GetTextBundle(
      fact.bundle_digest(),
      [this, digest = fact.bundle_digest(), model = fact.model()](absl::StatusOr<std::string> bytes) {
        MutexLock lock(&mutex_);
        fetched_.push_back({digest, model, std::move(bytes)});
      });
}

void ModelCatalog::Load(const Fetched& fetched) {
  const absl::StatusOr<v1::TextBundle> bundle = BundleOf(fetched.bytes);
  absl::StatusOr<Text> text = bundle.ok() ? LoadTextModel(*bundle) : bundle.status();
  MutexLock lock(&mutex_);
  if (text.ok()) {
    texts_[fetched.digest] = *std::move(text);
    failures_.Forget(fetched.digest);
    return;
  }
  std::string retry = "when the model's files change";
  if (bundle.ok()) {
    failures_.FailedForGood(fetched.digest);
  } else {
    retry = absl::StrCat("in ", failures_.Failed(fetched.digest, clock_.NowMs()), " ms");
  }
  Log(LogLevel::kError, "text_bundle_not_loaded", "model", fetched.model, "reason", MessageOf(text.status()),
      "retry", retry);
}

}  // namespace quire::gateway
