#include "coordinator/api/auditor.h"

#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::coordinator {

Auditor::Auditor(LedgerReports* reports, Metrics& metrics, absl::Duration period)
    : reports_(reports),
      findings_(
          metrics.Gauge("quire_coordinator_audit_findings", "Disagreements that the last audit found.")),
      audits_(metrics.Counter("quire_coordinator_audits_total", "Reconciliations of the ledger.")) {
  thread_ = std::thread([this, period] {
    while (!stopping_.WaitForNotificationWithTimeout(period)) Audit();
  });
}

Auditor::~Auditor() {
  stopping_.Notify();
  thread_.join();
}

void Auditor::Audit() {
  absl::StatusOr<std::optional<AuditReport>> piece = std::nullopt;
  while (piece.ok() && !*piece) {
    if (stopping_.HasBeenNotified()) return;
    piece = reports_->AuditNews();
  }
  if (!piece.ok()) {
    Log(LogLevel::kWarn, "audit_failed", "why", MessageOf(piece.status()));
    return;
  }
  const std::vector<std::string>& findings = (*piece)->findings;
  audits_.Increment();
  findings_.Set(static_cast<double>(findings.size()));
  for (const std::string& finding : findings) Log(LogLevel::kError, "books_disagree", "finding", finding);
}

}  // namespace quire::coordinator
