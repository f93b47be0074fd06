// What must hold, checked by somebody who sees everything: what each client really received, and what is
// durable. Called by the simulated processes at each delivery, answer and commit; the first violation is
// kept. It uses no code of the ledger or the accountant but the rows. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "coordinator/ledger/memory_store.h"
#include "gateway/accounting/accountant.h"

namespace quire::simulation {

class Checker {
 public:
  explicit Checker(const coordinator::MemoryStore* disk) : disk_(disk) {}

  // ---- what happens at a worker ----
  using Group = std::pair<int, uint64_t>;  // node and incarnation
  void Made(const RequestId& id, Group group) { ++seen_[id].made[group]; }

  // ---- what happens at a gateway and its clients ----
  void Started(const RequestId& id, uint64_t prompt_tokens, uint32_t choices);
  // Token `position` of a choice was accepted as the `accepted`-th.
  void Accepted(const RequestId& id, uint64_t position, uint64_t accepted);
  // Positions written to the client's socket; `cached_tokens` as the worker said that made the first token.
  void Delivered(const RequestId& id, uint32_t choice, uint64_t positions, uint64_t cached_tokens);
  void UsageRead(const RequestId& id, const gateway::Usage& usage);
  void SettleSent(const v1::RequestSettle& settle);
  void GatewayDied(const RequestId& id) { seen_[id].gateway_died = true; }
  // Answers that reached the gateway. `sent_us`: when what they answer was sent, in simulated time.
  void Granted(const RequestId& id, const v1::Grant& grant, int64_t sent_us);
  void ProgressAnswered(const v1::RequestProgress& sent, const v1::ProgressResult& result, int64_t sent_us);
  void SettleAnswered(const RequestId& id, int64_t amount);

  // ---- what happens at the disk ----
  void BeforeCommit();
  void AfterCommit(const coordinator::LedgerBatch& batch, const absl::Status& status, int64_t now_us,
                   int64_t reap_after_us);

  // ---- what happens at the operator ----
  // A credit or a reversal was acknowledged; a credit's note is its reference.
  void Posted(const coordinator::EntryRow& entry);

  // ---- at the end, all calm and all gateways drained ----
  void AtTheEnd();
  bool AllClosed() const;

  void Violate(const std::string& what);
  const std::optional<std::string>& violation() const { return violation_; }
  size_t forgotten() const { return forgotten_.size(); }

 private:
  struct Seen {
    uint64_t prompt_tokens = 0;
    uint32_t choices = 0;
    std::map<Group, uint64_t> made;
    std::map<uint32_t, uint64_t> delivered;
    uint64_t delivered_total = 0;
    uint64_t cached_tokens = 0;  // of the first delivery
    std::optional<gateway::Usage> usage;
    bool gateway_died = false;
    bool reaped = false;
    bool settled = false;          // its gateway has the acknowledgement
    uint64_t acked_delivered = 0;  // what a Progress said that was acknowledged
    int64_t acked_us = INT64_MIN;
  };
  void Require(bool holds, const RequestId& id, const std::string& what);
  void CheckRow(const coordinator::RequestRow& row, int64_t now_us, int64_t reap_after_us);
  void CheckEntry(const coordinator::EntryRow& entry);
  void CheckPosting(const coordinator::EntryRow& entry);
  void CheckAccounts(const std::map<std::string, int64_t>& taken_back);
  void CheckForgotten();
  void CheckPosted(const RequestId& id, const Seen& seen);
  void CheckLoss(const RequestId& id, const Seen& seen, uint64_t billed);
  // Whether it asked for no tokens: its positions are none.
  bool IsEchoAlone(const RequestId& id) const;
  uint64_t BilledPositions(const RequestId& id) const;
  int64_t Cost(const coordinator::RequestRow& row, const TokenCounts& counts) const;

  const coordinator::MemoryStore* const disk_;
  std::map<RequestId, Seen> seen_;
  std::optional<std::string> violation_;
  // As the last commit left it.
  std::map<std::string, coordinator::AccountRow> old_accounts_;
  std::map<std::string, coordinator::KeyRow> old_keys_;
  std::map<RequestId, coordinator::RequestRow> old_requests_;
  int64_t last_closed_ms_ = INT64_MIN;
  std::set<RequestId> forgotten_;  // ever (R10)
};

}  // namespace quire::simulation
