// The operator's API over HTTP: keys, groups, credits, reversals, entries, usage, audit, and what probes and
// Prometheus ask. Its port and its kind of key (ak-quire-...) are its own: API keys open nothing here. Every
// handler but the probes' needs an admin key, before it looks at anything, and the plane's guard before it
// tells which paths and methods there are. Owned by coordinator.cc; its handlers are coroutines on the HTTP
// server's I/O thread. Always: none of them blocks it (asking.h), each has a deadline, and probes, metrics,
// keys and accounts are shown from what is known already, whatever the ledger or the disk does.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "base/http/exchange.h"
#include "base/http/probes.h"
#include "coordinator/api/admin_json.h"
#include "coordinator/api/coordinator_metrics.h"
#include "coordinator/api/slow_facts.h"
#include "coordinator/api/work_thread.h"
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
    std::chrono::milliseconds patience{10'000};         // with the ledger and the fleet
    std::chrono::milliseconds report_patience{60'000};  // with what is read from the disk
  };

  AdminService(const Parts& parts, std::string pepper);

  // For a server that this outlives.
  http::RouteTable Routes();
  http::Guard Guard();
  http::Probes Probes();
  // From now on /readyz says no. Any thread.
  void StartDraining() { draining_ = true; }

 private:
  using Answer = boost::asio::awaitable<http::Reply>;
  using Method = Answer (AdminService::*)(http::Exchange&);

  boost::asio::awaitable<void> AnswerAdmin(http::Exchange& exchange, Method method);
  bool IsAdmin(http::Exchange& exchange) const;
  Answer CreateKey(http::Exchange& exchange);
  Answer SetCap(http::Exchange& exchange);
  Answer ListKeys(http::Exchange& exchange);
  Answer RevokeKey(http::Exchange& exchange);
  Answer ListGroups(http::Exchange& exchange);
  Answer PostCredit(http::Exchange& exchange);
  Answer PostReversal(http::Exchange& exchange);
  using Posting = std::function<void(Ledger& ledger, Reply<EntryRow> reply)>;
  Answer Post(http::Exchange& exchange, const char* event, Posting posting);
  Answer ListEntries(http::Exchange& exchange);
  Answer ShowUsage(http::Exchange& exchange);
  Answer ShowAudit(http::Exchange& exchange);
  std::string MetricsText() ABSL_LOCKS_EXCLUDED(metrics_mutex_);
  void RefreshFleetMetrics();
  http::Readiness ReadinessNow() const;

  const Parts parts_;
  const std::string pepper_;
  Mutex metrics_mutex_;
  CoordinatorMetrics state_metrics_ ABSL_GUARDED_BY(metrics_mutex_);
  std::atomic<bool> draining_{false}, refreshing_fleet_{false};
  WorkThread reports_thread_, fleet_thread_;  // last: their jobs use the rest
};

}  // namespace quire::coordinator
