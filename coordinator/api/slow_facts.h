// What changes rarely and every gateway must know: live keys, and models with price and text bundle (Watch);
// beside them the accounts' money as of the last commit, for refusing early. Keeps the models in
// DATA/models.json, so that gateways can tokenize for a model whose groups are gone or not back yet; keys,
// prices and accounts are the ledger's (ledger_news.h tells them). Any thread. What always holds: a reader
// gets the full state, `synced`, then every change; it is never more behind than one event per fact. A
// model's groups have one text bundle, and its context is the largest among them. Nobody but PutModel waits
// for the disk.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/files.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/records.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

class SlowFacts {
 public:
  // `pepper` also seeds the accounts' cache salts. Nothing is written where `path` is empty.
  SlowFacts(std::string path, std::string pepper, FileWriter write = WriteFileAtomically);

  // Reads the models of the last run. FailedPrecondition: the file is damaged.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);

  // In the order of the commits. A revoked one is taken away.
  void PutKey(const KeyRow& key) ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<KeyRow> FindKey(const std::string& id) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<KeyRow> AllKeys() const ABSL_LOCKS_EXCLUDED(mutex_);  // revoked ones too

  void PutAccount(const AccountRow& account) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<AccountRow> Accounts() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the account could pay for the prompt and a position per choice, as of the last commit. The ledger
  // decides.
  bool CanAfford(const std::string& account, const v1::AdmitRequest& request) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A model is published once it has both a description and a price.
  void PutPrice(const PriceRow& price) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasPrice(const std::string& model) const ABSL_LOCKS_EXCLUDED(mutex_);
  // What a group says of its model; known once it is written down. Returns the number for GroupLeft; a group
  // that says it again gets another one. AlreadyExists: a live group of the model has another text bundle.
  // Any other error: it could not be written.
  absl::StatusOr<uint64_t> PutModel(const v1::GroupInfo& group, int64_t unix_s)
      ABSL_LOCKS_EXCLUDED(save_mutex_, mutex_);
  // It is live no longer. What the last group of a model said stays known.
  void GroupLeft(const std::string& group_id, uint64_t number) ABSL_LOCKS_EXCLUDED(mutex_);
  // The model of the groups that this coordinator starts; forgets the one before. Call after Load.
  void ServeLocally(const std::string& model) ABSL_LOCKS_EXCLUDED(save_mutex_, mutex_);
  bool HasModel(const std::string& model) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> Models() const ABSL_LOCKS_EXCLUDED(mutex_);

  // A reader takes events one by one, as fast as it can send them. `wake` is called when there is one again
  // after there was none: from any thread, with no lock held, perhaps once more after Unsubscribe.
  using Wake = std::function<void()>;
  uint64_t Subscribe(Wake wake) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unsubscribe(uint64_t subscription) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null: nothing now.
  std::optional<v1::WatchEvent> Next(uint64_t subscription) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A key or a model, in the order in which the state is sent.
  struct Fact {
    bool is_model = false;
    std::string id;
    auto operator<=>(const Fact&) const = default;
  };
  struct Reader {
    Wake wake;
    bool idle = false;          // it was told that there is nothing
    bool synced = false;        // the state was sent,
    std::optional<Fact> at;     // or up to here
    std::deque<Fact> changed;   // of what was sent already,
    std::set<Fact> is_changed;  // each once
  };
  struct LiveGroup {
    std::string model, bundle_digest;
    uint64_t max_context = 0, plain_context = 0;
    uint64_t number = 0;
  };
  // Wakes who waits, once the mutex is free.
  class Change;

  bool Published(const v1::ModelFact& model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Fact> After(const std::optional<Fact>& fact) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::WatchEvent EventOf(const Fact& fact) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::WatchEvent ModelEvent(const v1::ModelFact& model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::WatchEvent KeyEvent(const KeyRow& key) const;
  v1::ModelFact FactOf(const v1::GroupInfo& group, int64_t unix_s) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Widen(v1::ModelFact& fact, const std::string& except_group) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refresh(const std::string& model, Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckBundle(const v1::GroupInfo& group) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Save(const std::map<std::string, v1::ModelFact>& models)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(save_mutex_);

  const std::string path_, pepper_;
  const FileWriter write_;
  Mutex save_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);   // held while the file is synced; orders the writers
  mutable Mutex mutex_;                             // never
  std::string saved_ ABSL_GUARDED_BY(save_mutex_);  // what the file has
  std::set<std::string> local_models_ ABSL_GUARDED_BY(save_mutex_);
  std::map<std::string, KeyRow> keys_ ABSL_GUARDED_BY(mutex_);  // live ones
  std::map<std::string, KeyRow> revoked_keys_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, AccountRow> accounts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::ModelFact> models_ ABSL_GUARDED_BY(mutex_);  // without price
  std::map<std::string, LiveGroup> live_groups_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, TokenPrice> prices_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Reader> readers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_subscription_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::coordinator
