// The ledger's rules over a LedgerStore (docs/LEDGER.md): admits, extends, settles and reaps requests, keeps
// accounts, keys and prices. Owned and called by one thread (LedgerThread runs it; other code posts to that).
// No clock, no threads; blocking only in the store. Operations change memory and keep their replies; Commit
// makes one transaction of all changes since the last one and then releases the replies (R1), each exactly
// once. If it fails, memory is loaded anew and each reply gets an error. Always: posted + held <= cap for
// every hold taken, one entry per request.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/ledger/ledger_store.h"
#include "coordinator/ledger/records.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

template <typename T>
using Reply = absl::AnyInvocable<void(absl::StatusOr<T>)>;

struct LedgerOptions {
  uint64_t first_grant = 256;                            // positions, over all choices
  int64_t reap_after_us = int64_t{15} * 60 * 1'000'000;  // at least 4 x the gateways' stop_after
  int64_t reap_period_us = 5'000'000;                    // how often AdvanceReaper is called
};

struct LedgerCounters {
  uint64_t commits = 0;
  uint64_t failed_commits = 0;
  uint64_t posted_nano_usd = 0;
  uint64_t posted_positions = 0;
  uint64_t reaped = 0;  // closed for a gateway that fell silent (P3's exceptions)
  uint64_t unbilled_positions =
      0;  // said by a Settle after the request was closed with less: the operator's loss
  uint64_t above_grant_alarms = 0;  // a gateway reported more than it was granted: a bug or a forged message
};

// Keys, accounts and prices as committed; for Watch and the admin API.
struct LedgerFacts {
  std::vector<AccountRow> accounts;
  std::vector<KeyRow> keys;      // revoked ones too
  std::vector<PriceRow> prices;  // the current version per model
};

class Ledger {
 public:
  // `store` outlives the ledger.
  Ledger(LedgerStore* store, LedgerOptions options);

  // Becomes the leader and loads. Before it succeeded every operation is answered Unavailable.
  absl::Status TakeOver();

  // ---- gateways ----
  // The money part of Admit: key, scope, model, cap; takes the hold. Answers a grant or a refusal (also
  // REFUSAL_LEDGER when the commit failed), never a placement; InvalidArgument for a malformed request.
  // Idempotent by request id.
  void Admit(const v1::AdmitRequest& request, Reply<v1::AdmitReply> reply);
  void Progress(const v1::ProgressRequest& request, Reply<v1::ProgressReply> reply);
  void Settle(const v1::SettleRequest& request, Reply<v1::SettleReply> reply);
  // Call every options.reap_period_us with Clock::NowUs(): closes requests not heard of for reap_after of
  // this leader's own running time.
  void AdvanceReaper(int64_t now_us);

  // ---- admin ----
  // Creates the account or changes its cap. A cap below what is posted and held stops new holds only.
  void PutAccount(const std::string& account, std::optional<int64_t> cap_nano_usd, Reply<AccountRow> reply);
  // `key` comes with id, hmac (base/core/api_key.h), account (must exist), name, models, created_ms.
  // AlreadyExists for a known id.
  void CreateKey(KeyRow key, Reply<KeyRow> reply);
  // Idempotent. NotFound for an unknown id.
  void RevokeKey(const std::string& key_id, int64_t unix_ms, Reply<KeyRow> reply);
  // A new price version if it differs from the current one (price.version is ignored); applies to later
  // Admits.
  void SetPrice(const std::string& model, TokenPrice price, Reply<PriceRow> reply);
  void GetFacts(Reply<LedgerFacts> reply);

  // ---- the group commit ----
  // Commits everything since the last call and releases the replies. OK without a store call if nothing
  // waits. An error is the store's (see LedgerStore::Commit); the ledger itself goes on unless it is
  // FailedPrecondition or DataLoss.
  absl::Status Commit(int64_t unix_ms);

  const LedgerCounters& counters() const { return counters_; }

 private:
  struct OpenRequest {
    RequestRow row;
    int64_t heard_us = 0;  // in running time, rounded up
  };
  using Release = absl::AnyInvocable<void(const absl::Status&)>;

  LedgerStore* const store_;
  const LedgerOptions options_;
  LedgerCounters counters_;
};

}  // namespace quire::coordinator
