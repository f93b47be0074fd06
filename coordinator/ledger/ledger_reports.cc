#include "coordinator/ledger/ledger_reports.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {
namespace {

constexpr size_t kMaxFindings = 100;

constexpr char kUsage[] =
    "SELECT account, key_id, model, CASE WHEN ?4 THEN closed_ms / 3600000 * 3600000 ELSE 0 END AS hour, "
    "count(*),"
    " sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(amount) FROM entry"
    " WHERE closed_ms >= ?1 AND closed_ms < ?2 AND (?3 IS NULL OR account = ?3)"
    " GROUP BY account, key_id, model, hour ORDER BY account, key_id, model, hour";

constexpr char kTotals[] =
    "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM request WHERE state = 0),"
    " (SELECT count(*) FROM entry), (SELECT coalesce(sum(amount), 0) FROM entry),"
    " (SELECT coalesce(sum(held), 0) FROM request WHERE state = 0)";

// Each finds disagreements; the columns are the words of a finding.
constexpr const char* kAudits[] = {
    "SELECT 'account ' || a.id || ': balance ' || a.balance || ', but its entries sum to ' || "
    "coalesce(e.total, 0)"
    " FROM account a LEFT JOIN (SELECT account, sum(amount) AS total FROM entry GROUP BY account) e"
    " ON e.account = a.id WHERE a.balance <> coalesce(e.total, 0)",

    "SELECT 'account ' || a.id || ': held ' || a.held || ', but its open requests hold ' || "
    "coalesce(r.total, 0)"
    " FROM account a LEFT JOIN (SELECT account, sum(held) AS total FROM request WHERE state = 0 GROUP BY "
    "account) r"
    " ON r.account = a.id WHERE a.held <> coalesce(r.total, 0)",

    // What was delivered, within the grant, at the price of its version; nothing for a server error that was
    // void.
    "WITH due AS (SELECT r.id, r.reason, min(coalesce(d.total, 0), r.granted) AS completion, r.prompt_tokens "
    "AS prompt,"
    " coalesce(r.cached_tokens, 0) AS cached, p.prompt AS prompt_price, p.cached_prompt AS cached_price,"
    " p.completion AS completion_price FROM request r JOIN price p ON p.model = r.model AND p.version = "
    "r.price_version"
    " LEFT JOIN (SELECT request_id, sum(tokens) AS total FROM delivered GROUP BY request_id) d ON "
    "d.request_id = r.id"
    " WHERE r.state = 1)"
    " SELECT 'request ' || hex(due.id) || ': posted ' || coalesce(e.amount, 'nothing') || ' for ' || "
    "due.completion ||"
    " ' delivered positions' FROM due LEFT JOIN entry e ON e.id = due.id WHERE e.amount IS NOT CASE"
    " WHEN due.completion = 0 OR (due.reason = ?1 AND e.completion_tokens = 0) THEN 0 ELSE"
    " (due.prompt - due.cached) * prompt_price + due.cached * cached_price + due.completion * "
    "completion_price END",

    "SELECT 'entry ' || hex(e.id) || ': its request is not closed' FROM entry e LEFT JOIN request r ON r.id "
    "= e.id"
    " WHERE r.state IS NOT 1",

    "SELECT 'request ' || hex(id) || ': closed, but still holds ' || held FROM request WHERE state = 1 AND "
    "held <> 0",

    "SELECT 'entry ' || hex(e.id) || ': not in the outbox' FROM entry e LEFT JOIN outbox o ON o.entry_id = "
    "e.id"
    " WHERE o.seq IS NULL",
};

absl::Status FindDisagreements(SqliteDatabase& database, const char* sql,
                               std::vector<std::string>& findings) {
  SqliteQuery query = database.Query(sql);
  if (std::string_view(sql).find("?1") != std::string_view::npos) {
    query.Bind(static_cast<int64_t>(v1::SETTLE_SERVER_ERROR));
  }
  while (findings.size() < kMaxFindings) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    findings.push_back(query.Bytes(0));
  }
  return absl::OkStatus();
}

}  // namespace

LedgerReports::LedgerReports(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}
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
                    .cost_nano_usd = query.Int(8)});
  }
}

absl::StatusOr<AuditReport> LedgerReports::Audit() {
  MutexLock lock(&mutex_);
  AuditReport report;
  SqliteDatabase& database = *database_;
  // One snapshot for all questions.
  QUIRE_RETURN_IF_ERROR(database.ReadTransaction([&]() -> absl::Status {
    {
      SqliteQuery totals = database.Query(kTotals);
      QUIRE_RETURN_IF_ERROR(totals.Run());
      report.accounts = totals.Unsigned(0);
      report.open_requests = totals.Unsigned(1);
      report.entries = totals.Unsigned(2);
      report.posted_nano_usd = totals.Int(3);
      report.held_nano_usd = totals.Int(4);
    }
    for (const char* sql : kAudits) {
      QUIRE_RETURN_IF_ERROR(FindDisagreements(database, sql, report.findings));
    }
    return absl::OkStatus();
  }));
  return report;
}

}  // namespace quire::coordinator
