// The models this gateway can speak for: what Watch says of each, with its text bundle fetched, checked and
// parsed. One loader thread fetches what is missing, a digest that it has not seen at once, one that could
// not be fetched after a pause that doubles (RetryPauses), one whose files can't be used never again, since a
// digest names its files. Bundles are kept by digest while a model names them. Owned by gateway.cc; the
// questions (Find, Servable, failed, settled) from any thread. Always: a bundle that can't be loaded takes
// only its own models out of service.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
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
  // How many models that Watch names can't be served, for the operator.
  size_t failed() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Every model that Watch names was loaded or could not be.
  bool settled() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls `then` once, on the loader's thread, after the next attempt to load what is missing. It must not
  // block.
  void AfterNextLoad(std::function<void()> then) ABSL_LOCKS_EXCLUDED(mutex_);
  // The facts have changed; any thread.
  void Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Text = std::shared_ptr<const TextModel>;

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void CallWaiters() ABSL_LOCKS_EXCLUDED(mutex_);
  // Loads what is missing and due; true if something is left to try again.
  bool LoadMissing() ABSL_LOCKS_EXCLUDED(mutex_);
  void Load(const v1::ModelFact& fact) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Due(const std::string& digest) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<v1::TextBundle> Fetch(const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_);
  CatalogModel WithText(Facts::Model fact) const ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return dirty_ || closing_; }

  const SystemClock clock_;
  const Facts& facts_;
  mutable Mutex mutex_;
  bool dirty_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<std::string, Text> texts_ ABSL_GUARDED_BY(mutex_);  // by digest
  RetryPauses failures_ ABSL_GUARDED_BY(mutex_);                          // by digest
  std::vector<std::function<void()>> waiters_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<RpcCall> fetch_ ABSL_GUARDED_BY(mutex_);  // under way
  CoordinatorClient client_;  // after what its callbacks use: its destructor waits for them
  std::thread thread_;        // last: it uses the rest
};

}  // namespace quire::gateway
