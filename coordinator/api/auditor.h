// The reconciliation of what was posted since the last one, every minute, on a thread of its own: the books
// either balance or an operator hears of it, by a log event and a gauge, until the process ends. Owned by
// coordinator.cc; changes nothing.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/ledger_reports.h"

namespace quire::coordinator {

class Auditor {
 public:
  Auditor(LedgerReports* reports, Metrics& metrics, absl::Duration period = absl::Minutes(1));
  ~Auditor();

 private:
  void Audit();

  LedgerReports* const reports_;
  prometheus::Gauge& findings_;
  prometheus::Counter& audits_;
  Notification stopping_;
  std::thread thread_;
};

}  // namespace quire::coordinator
