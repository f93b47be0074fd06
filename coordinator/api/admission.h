// Joins money and placement: what the four request RPCs do, without gRPC. A request is placed first (or
// waits); the moment it has a group the client is told, and the ledger takes the hold beside the prefill; the
// grant follows once it is durable. No mutex of its own: Router and LedgerThread have theirs, and nothing is
// kept here. Any thread; sinks run on the router's, the ledger's or the caller's thread and must not block.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "absl/status/statusor.h"
#include "base/core/metrics.h"
#include "coordinator/api/slow_facts.h"
#include "coordinator/ledger/ledger_thread.h"
#include "coordinator/routing/router.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

class Admission {
 public:
  // All outlive this.
  Admission(LedgerThread* ledger, Router* router, const SlowFacts* facts, Metrics& metrics);

  // `sink(event, last)`: a placement, then the grant or a refusal; or one refusal; or an error. Exactly one
  // is last.
  using AdmitSink = std::function<void(const absl::StatusOr<v1::AdmitReply>& event, bool last)>;
  // Returns the ticket for GiveUp.
  uint64_t Admit(const v1::AdmitRequest& request, AdmitSink sink);
  using ReadmitSink = std::function<void(const absl::StatusOr<v1::ReadmitReply>&)>;
  uint64_t Readmit(const v1::ReadmitRequest& request, ReadmitSink sink);
  // Nobody waits for the answer any more. A hold that was taken meanwhile is the gateway's to settle.
  void GiveUp(const RequestId& id, uint64_t ticket);

  void Progress(const v1::ProgressRequest& request, Reply<v1::ProgressReply> reply);
  void Settle(const v1::SettleRequest& request, Reply<v1::SettleReply> reply);

 private:
  std::optional<v1::Refusal> CheckRights(const v1::AdmitRequest& request, std::string* account) const;
  void TakeHold(const v1::AdmitRequest& request, const RequestId& id, AdmitSink sink);
  void Count(const v1::Refusal& refusal);

  LedgerThread* const ledger_;
  Router* const router_;
  const SlowFacts* const facts_;
  std::map<v1::RefusalReason, prometheus::Counter*> refusals_;
};

}  // namespace quire::coordinator
