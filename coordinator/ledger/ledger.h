// The ledger's rules over a LedgerStore (docs/LEDGER.md): admits, extends, settles and reaps requests, keeps
// accounts, keys and prices. Owned and called by one thread (LedgerThread runs it; other code posts to that).
// No clock, no threads; blocking only in the store. Operations change memory and keep their replies; Commit
// makes one transaction of all changes since the last one, tells the news and then releases the replies (R1),
// each exactly once. If it fails, memory is loaded anew and each reply gets an error; what a bug made the
// store refuse is found by committing one request at a time for a while, and fails alone. Always: posted +
// held <= cap for every hold taken, at most one entry per request, nobody hears of a change before it stands.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/ledger/ledger_store.h"
#include "coordinator/ledger/records.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

template <typename T>
using Reply = absl::AnyInvocable<void(absl::StatusOr<T>)>;
using DeliveredList = google::protobuf::RepeatedPtrField<v1::ChoiceTokens>;

struct LedgerOptions {
  static constexpr uint64_t kFirstGrant = 256;
  uint64_t first_grant = kFirstGrant;                     // positions, over all choices
  int64_t reap_after_us = int64_t{15} * 60 * 1'000'000;   // at least 4 x the gateways' stop_after
  int64_t reap_period_us = 5'000'000;                     // how often AdvanceReaper is called
  int64_t forget_after_us = int64_t{5} * 60 * 1'000'000;  // R10: longer than an Admit may be on its way
  uint64_t forget_most = 10'000;                          // for each call of AdvanceReaper
  // Rows that now stand: those of each commit, before its replies go out; after each load all accounts, keys,
  // prices and open requests, and as closed those that were open before it. Whoever keeps a copy of such
  // facts gets them here and nowhere else. Runs on the ledger's thread; must not block.
  std::function<void(const LedgerBatch&)> on_news;
};

struct LedgerCounters {
  uint64_t commits = 0;
  uint64_t failed_commits = 0;
  uint64_t posted_nano_usd = 0;  // of usage
  uint64_t posted_positions = 0;
  uint64_t credits = 0, reversals = 0;  // entries
  uint64_t reaped = 0;                  // closed for a gateway that fell silent (P3's exceptions)
  uint64_t unbilled_positions =
      0;  // said by a Settle after the request was closed with less: the operator's loss
  uint64_t above_grant_alarms = 0;  // a gateway reported more than it was granted: a bug or a forged message
  uint64_t set_aside = 0;           // requests that the store refuses to change: a bug or a tampered file
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
  // `key` comes with id, hmac (base/core/api_key.h), account, name, models, created_ms. In the same
  // transaction its account is made if there is none, without a cap, and `cap` is set if given: an account
  // keeps the cap that it has. AlreadyExists for a known id.
  struct NewCap {
    std::optional<int64_t> nano_usd;  // none: unlimited
  };
  void CreateKey(KeyRow key, Reply<KeyRow> reply, std::optional<NewCap> cap = std::nullopt);
  // Idempotent. NotFound for an unknown id, PermissionDenied for the last admin key that lives.
  void RevokeKey(const std::string& key_id, int64_t unix_ms, Reply<KeyRow> reply);
  // A new price version if it differs from the current one (price.version is ignored); applies to later
  // Admits.
  void SetPrice(const std::string& model, TokenPrice price, Reply<PriceRow> reply);
  void GetFacts(Reply<LedgerFacts> reply);

  // ---- what the operator posts (ledger_postings.cc) ----
  struct NewCredit {
    std::string account;
    std::string reference;  // whose it is outside, as a payment's number; one credit of an account has it
    int64_t amount_nano_usd = 0;
    std::string note;
  };
  static constexpr int64_t kMaxCreditNanoUsd = int64_t{1'000'000'000} * 1'000'000'000;  // a billion dollars
  // Posts money for the account, which it can spend beyond its cap. Idempotent by account and reference;
  // NotFound for an unknown account, AlreadyExists where the reference has another amount.
  void Credit(const NewCredit& credit, Reply<EntryRow> reply);
  // Takes back a usage or a credit, whole. Idempotent by the entry: the first note stays. NotFound for an
  // unknown entry, FailedPrecondition for a reversal.
  void Reverse(const RequestId& entry, const std::string& note, Reply<EntryRow> reply);

  // ---- the group commit ----
  // Commits everything since the last call and releases the replies. OK without a store call if nothing
  // waits. An error is the store's (see LedgerStore); the ledger itself goes on unless IsFatal. After a
  // second failure in a row nothing is loaded, everything is answered at once, and the next Commit only
  // loads: whoever calls waits before it (failures_in_a_row), so that a full disk is not a loop of loads.
  absl::Status Commit(int64_t unix_ms);
  bool loaded() const { return loaded_; }
  int failures_in_a_row() const { return failures_in_a_row_; }
  // True for a while after the store refused something as a bug: commit after every operation, so that what
  // is to blame fails alone.
  bool careful() const { return careful_commits_ > 0; }

  const LedgerCounters& counters() const { return counters_; }

 private:
  struct Live {
    RequestRow row;
    int64_t posted_nano_usd = 0;
  };
  using Release = absl::AnyInvocable<void(const absl::Status&)>;

  // Memory.
  absl::Status Reload();
  void TellAll(LedgerBatch vanished);
  void ClearMemory();
  absl::Status Fail(const absl::Status& status);
  void SetAside(const RequestId& id);
  bool MakesSense(const RequestRow& row) const;
  LedgerBatch TakeBatch();
  void AfterSuccess(const LedgerBatch& batch);
  void Count(const EntryRow& entry);
  template <typename T>
  void ReplyAfterCommit(absl::StatusOr<T> answer, Reply<T> reply) {
    releases_.push_back(
        [answer = std::move(answer), reply = std::move(reply)](const absl::Status& committed) mutable {
          reply(committed.ok() ? std::move(answer) : absl::StatusOr<T>(committed));
        });
  }

  // A message about many requests, each committed by itself; `apply` is ApplyProgress or ApplySettle.
  template <typename Message, typename Answer>
  absl::StatusOr<Answer> OneByOne(const Message& message,
                                  absl::StatusOr<Answer> (Ledger::*apply)(const Message&));
  template <typename Message>
  void HeardOfAll(const Message& message);

  // Requests.
  absl::StatusOr<Live*> Find(const RequestId& id);
  Live& Track(RequestRow row);
  void Heard(const RequestId& id);
  absl::StatusOr<v1::AdmitReply> DecideAdmit(const v1::AdmitRequest& request);
  v1::AdmitReply Open(const v1::AdmitRequest& request, const RequestId& id);
  absl::StatusOr<v1::ProgressReply> ApplyProgress(const v1::ProgressRequest& request);
  absl::StatusOr<v1::ProgressResult> ApplyOne(const v1::RequestProgress& progress);
  absl::StatusOr<v1::SettleResult> ApplyOne(const v1::RequestSettle& settle);
  v1::ProgressResult Advance(Live& live, const v1::RequestProgress& progress);
  v1::StopCause Extend(RequestRow& row, uint64_t want);
  absl::StatusOr<v1::SettleReply> ApplySettle(const v1::SettleRequest& request);
  void MergeDelivered(RequestRow& row, const DeliveredList& delivered, uint64_t cached_tokens);
  void Close(Live& live, v1::SettleReason reason);
  void Post(Live& live, uint64_t positions);
  v1::AdmitReply GrantOf(const RequestRow& row) const;

  // Postings.
  absl::StatusOr<EntryRow> ApplyCredit(const NewCredit& credit);
  absl::StatusOr<EntryRow> ApplyReverse(const RequestId& id, const std::string& note);
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id);
  absl::StatusOr<EntryRow> PostEntry(EntryRow entry);

  // Money.
  // Of each of its positions.
  TokenPrice PriceOf(const RequestRow& row) const;
  void Hold(RequestRow& row, uint64_t positions);
  bool IsLive(const std::string& key_id) const;
  bool IsLastAdminKey(const KeyRow& key) const;
  absl::Status NotLoaded() const;

  LedgerStore* const store_;
  const LedgerOptions options_;
  LedgerCounters counters_;
  uint64_t term_ = 0;
  bool loaded_ = false;
  absl::Status fatal_;  // of a look-up; the next Commit returns it
  absl::Status last_failure_;
  int failures_in_a_row_ = 0;
  int careful_commits_ = 0;  // still to come
  int64_t last_ms_ = 0;      // of the latest batch: the wall clock may step back, postings don't

  // As of the last commit plus what changed since. Ordered, so that a simulation's seed replays exactly.
  std::map<std::string, AccountRow> accounts_;
  std::map<std::string, KeyRow> keys_;
  std::map<std::string, std::map<uint64_t, TokenPrice>> prices_;  // by model and version; none is empty
  std::map<RequestId, Live> requests_;                            // the open ones, and those of closed_
  std::vector<RequestId> closed_;                                 // stay in requests_ until the next commit
  std::map<RequestId, int64_t> heard_us_;  // of the open ones, in running time, rounded up
  std::set<RequestId> set_aside_;          // the store refuses to change them

  // What changed since the last commit, and who waits for it.
  std::set<std::string> changed_accounts_;
  std::set<std::string> changed_keys_;
  std::set<RequestId> changed_requests_;
  std::vector<PriceRow> new_prices_;
  std::vector<EntryRow> new_entries_;
  LedgerCounters new_counts_;
  std::vector<Release> releases_;

  int64_t running_us_ = 0;  // this leader's own, as counted by reaper passes
  std::optional<int64_t> last_pass_us_;
  bool forget_ = false;  // with the next commit
};

}  // namespace quire::coordinator
