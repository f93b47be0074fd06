#include "coordinator/ledger/ledger_reports.h"

#include <utility>

#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

constexpr char kUsage[] =
    "SELECT account, key_id, model, CASE WHEN ?4 THEN closed_ms / 3600000 * 3600000 ELSE 0 END AS hour, "
    "sum(kind = 0),"
    " sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(iif(kind = 0, amount, 0)),"
    " sum(iif(kind = 1, -amount, 0)) FROM entry"
    " WHERE closed_ms >= ?1 AND closed_ms < ?2 AND (?3 IS NULL OR account = ?3) AND model <> ''"
    " GROUP BY account, key_id, model, hour ORDER BY account, key_id, model, hour";

}  // namespace

LedgerReports::LedgerReports(std::unique_ptr<SqliteDatabase> database)
    : database_(std::move(database)), news_(database_.get()) {}
LedgerReports::~LedgerReports() = default;

absl::StatusOr<std::unique_ptr<LedgerReports>> LedgerReports::Open(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, SqliteMode::kReadOnly));
  return std::unique_ptr<LedgerReports>(new LedgerReports(std::move(database)));
}

absl::StatusOr<std::vector<UsageRow>> LedgerReports::Usage(const UsageQuery& asked) {
  MutexLock lock(&mutex_);
  SqliteQuery query = database_->Query(kUsage);
  query.Bind(asked.from_ms, asked.to_ms, asked.account, int64_t{asked.by_hour});
  std::vector<UsageRow> rows;
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return rows;
    rows.push_back({.account = query.Bytes(0),
                    .key_id = query.Bytes(1),
                    .model = query.Bytes(2),
                    .hour_ms = query.Int(3),
                    .requests = query.Unsigned(4),
                    .prompt_tokens = query.Unsigned(5),
                    .cached_tokens = query.Unsigned(6),
                    .completion_tokens = query.Unsigned(7),
                    .cost_nano_usd = query.Int(8),
                    .reversed_nano_usd = query.Int(9)});
  }
}

absl::StatusOr<std::vector<PostedEntry>> LedgerReports::Entries(const EntriesQuery& asked) {
  MutexLock lock(&mutex_);
  return ReadEntries(*database_, asked);
}

absl::StatusOr<AuditReport> LedgerReports::Audit() {
  std::unique_ptr<LedgerAudit> audit;
  {
    MutexLock lock(&mutex_);
    audit = std::make_unique<LedgerAudit>(database_.get());
  }
  std::vector<std::string> of_requests;
  for (bool over = false; !over;) {
    MutexLock lock(&mutex_);
    QUIRE_ASSIGN_OR_RETURN(over, audit->AuditRequests(of_requests));
  }
  while (true) {
    MutexLock lock(&mutex_);
    QUIRE_ASSIGN_OR_RETURN(std::optional<AuditReport> report, audit->AuditNews());
    if (!report) continue;
    report->findings.insert(report->findings.end(), of_requests.begin(), of_requests.end());
    return *std::move(report);
  }
}

absl::StatusOr<std::optional<AuditReport>> LedgerReports::AuditNews() {
  MutexLock lock(&mutex_);
  return news_.AuditNews();
}

}  // namespace quire::coordinator
