// The models this gateway can speak for: what Watch says of each, with its text bundle fetched, checked and
// parsed. One loader thread asks for what is missing, a few at once, and parses each as it comes: a digest
// that it has not seen at once, one that could not be fetched after a pause that doubles (RetryPauses), one
// whose files can't be used never again, since a digest names its files. Bundles are kept by digest while a
// model names them. Owned by gateway.cc; the questions (Find, Servable, Count) from any thread. Always: a
// bundle that is slow or can't be loaded takes only its own models out of service.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "gateway/generation/retry_pauses.h"
#include "gateway/rpc/coordinator_client.h"
#include "gateway/rpc/facts.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {

struct CatalogModel {
  Facts::Model fact;
  std::shared_ptr<const TextModel> text;  // nullptr while the bundle is being loaded, or if it failed
  bool failed = false;                    // the last attempt did; the operator's log says why
};

class ModelCatalog {
 public:
  // `facts` must outlive the catalog.
  ModelCatalog(std::shared_ptr<grpc::Channel> coordinator, const Facts& facts);
  ~ModelCatalog();

  std::optional<CatalogModel> Find(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those whose text is loaded, by name.
  std::vector<CatalogModel> Servable() const ABSL_LOCKS_EXCLUDED(mutex_);
  // How many of the models that Watch names can be served, are being loaded, can't be loaded.
  struct Counts {
    size_t servable = 0, loading = 0, failed = 0;
  };
  Counts Count() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls `then` once, on the loader's thread, after the next load of a bundle that ended, well or not, or
  // look at the facts that found none to begin. It must not block.
  void AfterNextLoad(std::function<void()> then) ABSL_LOCKS_EXCLUDED(mutex_);
  // The facts have changed; any thread.
  void Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Text = std::shared_ptr<const TextModel>;
  static constexpr size_t kFetchesAtOnce = 4;

  // A fetch that ended.
  struct Fetched {
    std::string digest, model;
    absl::StatusOr<std::string> bytes;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void CallWaiters() ABSL_LOCKS_EXCLUDED(mutex_);
  // Until something has come or is to be asked for.
  void AwaitWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Fetched> TakeFetched() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Asks for what is missing and due, as far as there is room; true if there was something. Forgets what no
  // model names.
  bool FetchMissing() ABSL_LOCKS_EXCLUDED(mutex_);
  bool TakeIfDue(const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_);
  std::unique_ptr<RpcCall> Fetch(const v1::ModelFact& fact) ABSL_LOCKS_EXCLUDED(mutex_);
  void Load(const Fetched& fetched) ABSL_LOCKS_EXCLUDED(mutex_);
  CatalogModel WithText(Facts::Model fact) const ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return dirty_ || closing_ || !fetched_.empty();
  }

  const SystemClock clock_;
  const Facts& facts_;
  mutable Mutex mutex_;
  bool dirty_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<std::string, Text> texts_ ABSL_GUARDED_BY(mutex_);  // by digest
  RetryPauses failures_ ABSL_GUARDED_BY(mutex_);                          // by digest
  std::vector<std::function<void()>> waiters_ ABSL_GUARDED_BY(mutex_);
  std::vector<Fetched> fetched_ ABSL_GUARDED_BY(mutex_);  // in the order they came
  // By digest, until what came was taken; the loader's thread only.
  absl::flat_hash_map<std::string, std::unique_ptr<RpcCall>> fetches_;
  CoordinatorClient client_;  // after what its callbacks use: its destructor waits for them
  std::thread thread_;        // last: it uses the rest
};

}  // namespace quire::gateway
