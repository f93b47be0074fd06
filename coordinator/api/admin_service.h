// The operator's API over HTTP: keys, groups, usage, audit, and what probes and Prometheus ask. Its port and
// its kind of key (ak-quire-...) are its own: API keys open nothing here. Default deny: everything but
// /healthz, /readyz and /metrics needs an admin key, before it is looked at. Owned by coordinator.cc; Handle
// runs on the HTTP server's one thread and may wait for a commit.
#pragma once

#include <atomic>
#include <string>

#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "base/net/http_server.h"
#include "coordinator/api/coordinator_metrics.h"
#include "coordinator/api/slow_facts.h"
#include "coordinator/fleet/fleet_driver.h"
#include "coordinator/ledger/ledger_reports.h"
#include "coordinator/ledger/ledger_thread.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

class AdminService {
 public:
  // All outlive this.
  struct Parts {
    LedgerThread* ledger = nullptr;
    LedgerReports* reports = nullptr;
    Router* router = nullptr;
    SlowFacts* facts = nullptr;
    FleetDriver* fleet = nullptr;  // null: no local groups
    const Clock* clock = nullptr;
    Metrics* metrics = nullptr;
  };

  AdminService(const Parts& parts, std::string pepper);

  HttpReply Handle(const HttpRequest& request);
  // From now on /readyz says no. Any thread.
  void StartDraining() { draining_ = true; }

 private:
  bool IsAdmin(const HttpRequest& request) const;
  HttpReply Route(const HttpRequest& request);
  HttpReply CreateKey(const HttpRequest& request);
  HttpReply ListKeys();
  HttpReply RevokeKey(const std::string& key_id);
  HttpReply ListGroups();
  HttpReply ShowUsage(const HttpRequest& request);
  HttpReply ShowAudit();
  HttpReply ShowMetrics();
  HttpReply ShowReadiness() const;

  const Parts parts_;
  const std::string pepper_;
  CoordinatorMetrics state_metrics_;
  std::atomic<bool> draining_{false};
};

}  // namespace quire::coordinator
