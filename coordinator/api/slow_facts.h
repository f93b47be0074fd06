// What changes rarely and every gateway must know: live keys, and models with price and text bundle (Watch).
// Keeps the models in DATA/models.json, so that gateways can tokenize for a model whose groups are gone or
// not back yet; the keys are the ledger's. Any thread; one mutex. What always holds: a subscriber gets the
// full state, `synced`, then every change, in one order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/records.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

class SlowFacts {
 public:
  // `pepper` also seeds the accounts' cache salts. Nothing is written where `path` is empty.
  SlowFacts(std::string path, std::string pepper);

  // Reads the models of the last run. DataLoss: the file is damaged.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);

  void PutKey(const KeyRow& key) ABSL_LOCKS_EXCLUDED(mutex_);  // a revoked one is taken away
  std::optional<KeyRow> FindKey(const std::string& id) const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t CountKeys(KeyKind kind) const ABSL_LOCKS_EXCLUDED(mutex_);

  // A model is published once it has both a description and a price.
  void PutPrice(const PriceRow& price) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasPrice(const std::string& model) const ABSL_LOCKS_EXCLUDED(mutex_);
  // From what a group of it said. An error: it could not be written down.
  absl::Status PutModel(const v1::GroupInfo& group, int64_t unix_s) ABSL_LOCKS_EXCLUDED(mutex_);
  // Forgets every model but this one.
  void KeepOnly(const std::string& model) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasModel(const std::string& model) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> Models() const ABSL_LOCKS_EXCLUDED(mutex_);

  // `subscriber` is called under the mutex: it must hand the event over and return.
  using Subscriber = std::function<void(const v1::WatchEvent&)>;
  uint64_t Subscribe(Subscriber subscriber) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unsubscribe(uint64_t subscription) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool Published(const v1::ModelFact& model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::WatchEvent ModelEvent(const v1::ModelFact& model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::WatchEvent KeyEvent(const KeyRow& key) const;
  void Publish(const v1::WatchEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Save() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_, pepper_;
  mutable Mutex mutex_;
  std::map<std::string, KeyRow> keys_ ABSL_GUARDED_BY(mutex_);           // live ones
  std::map<std::string, v1::ModelFact> models_ ABSL_GUARDED_BY(mutex_);  // without price
  std::map<std::string, TokenPrice> prices_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Subscriber> subscribers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_subscription_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::coordinator
