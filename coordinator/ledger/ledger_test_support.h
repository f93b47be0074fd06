// What the ledger's tests share: a loaded ledger with one account, key and price, and calls that commit and
// hand back the reply. Tests only.
#pragma once

#include <optional>
#include <string>

#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {

inline constexpr TokenPrice kTestPrice{.version = 1, .prompt = 75, .cached_prompt = 25, .completion = 150};

class TestLedger {
 public:
  explicit TestLedger(LedgerStore* store, LedgerOptions options = {}) : ledger(store, options) {}

  // Takes over and creates account "acme" with the cap, its key "key" and the price of model "m".
  absl::Status Start(std::optional<int64_t> cap = std::nullopt) {
    if (const absl::Status status = ledger.TakeOver(); !status.ok()) return status;
    ledger.PutAccount("acme", cap, [](auto) {});
    ledger.CreateKey(TestKey("key"), [](auto) {});
    ledger.SetPrice("m", kTestPrice, [](auto) {});
    return ledger.Commit(1);
  }

  static KeyRow TestKey(const std::string& id) {
    KeyRow key;
    key.id = id;
    key.hmac = std::string(32, 'h');
    key.account = "acme";
    key.name = "a test's";
    return key;
  }

  static v1::AdmitRequest AdmitOf(const RequestId& id, uint64_t prompt = 10, uint64_t max_tokens = 1000,
                                  uint32_t choices = 1) {
    v1::AdmitRequest request;
    request.set_request_id(id.ToBytes());
    request.set_key_id("key");
    request.set_model("m");
    request.set_choices(choices);
    request.set_prompt_tokens(prompt);
    request.set_max_tokens(max_tokens);
    return request;
  }

  static v1::ProgressRequest ProgressOf(const RequestId& id, uint64_t delivered, uint64_t want = 0,
                                        uint64_t cached = 0) {
    v1::ProgressRequest request;
    v1::RequestProgress* progress = request.add_requests();
    progress->set_request_id(id.ToBytes());
    progress->add_delivered()->set_tokens(delivered);
    progress->set_want_positions(want);
    progress->set_cached_tokens(cached);
    return request;
  }

  static v1::SettleRequest SettleOf(const RequestId& id, uint64_t delivered,
                                    v1::SettleReason reason = v1::SETTLE_COMPLETED, uint64_t cached = 0) {
    v1::SettleRequest request;
    v1::RequestSettle* settle = request.add_requests();
    settle->set_request_id(id.ToBytes());
    if (delivered > 0) settle->add_delivered()->set_tokens(delivered);
    settle->set_cached_tokens(cached);
    settle->set_reason(reason);
    return request;
  }

  absl::StatusOr<v1::AdmitReply> Admit(const v1::AdmitRequest& request) {
    return CommitFor<v1::AdmitReply>([&](auto reply) { ledger.Admit(request, std::move(reply)); });
  }
  absl::StatusOr<v1::ProgressResult> Progress(const v1::ProgressRequest& request) {
    auto reply = CommitFor<v1::ProgressReply>([&](auto done) { ledger.Progress(request, std::move(done)); });
    if (!reply.ok()) return reply.status();
    return reply->results(0);
  }
  // What was posted.
  absl::StatusOr<int64_t> Settle(const v1::SettleRequest& request) {
    auto reply = CommitFor<v1::SettleReply>([&](auto done) { ledger.Settle(request, std::move(done)); });
    if (!reply.ok()) return reply.status();
    return reply->results(0).amount_nano_usd();
  }
  absl::StatusOr<EntryRow> Credit(const Ledger::NewCredit& credit) {
    return CommitFor<EntryRow>([&](auto done) { ledger.Credit(credit, std::move(done)); });
  }
  absl::StatusOr<EntryRow> Reverse(const RequestId& entry, const std::string& note = "") {
    return CommitFor<EntryRow>([&](auto done) { ledger.Reverse(entry, note, std::move(done)); });
  }
  AccountRow Account() {
    auto facts = CommitFor<LedgerFacts>([&](auto done) { ledger.GetFacts(std::move(done)); });
    return facts.ok() ? facts->accounts.at(0) : AccountRow{};
  }

  template <typename T, typename Call>
  absl::StatusOr<T> CommitFor(Call call) {
    absl::StatusOr<T> result = absl::InternalError("no reply came");
    call(Reply<T>([&result](absl::StatusOr<T> reply) { result = std::move(reply); }));
    ledger.Commit(++unix_ms).IgnoreError();
    return result;
  }

  int64_t unix_ms = 1;
  Ledger ledger;
};

}  // namespace quire::coordinator
