#include "coordinator/ledger/ledger_audit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

constexpr size_t kMaxFindings = 100;

// Each finds disagreements among entries closed in [?1, ?2); the columns are the words of a finding.
constexpr const char* kEntryAudits[] = {
    // What was delivered, within the grant, at the price of its version.
    "WITH due AS (SELECT e.id, e.amount, r.prompt_tokens AS prompt,"
    " min(coalesce((SELECT sum(tokens) FROM delivered d WHERE d.request_id = e.id), 0), r.granted) AS "
    "completion,"
    " coalesce(r.cached_tokens, 0) AS cached, p.prompt AS prompt_price, p.cached_prompt AS cached_price,"
    " CASE WHEN r.max_tokens = 0 THEN 0 ELSE p.completion END AS completion_price FROM entry e JOIN request "
    "r ON r.id = e.id"
    " JOIN price p ON p.model = r.model AND p.version = r.price_version"
    " WHERE e.closed_ms >= ?1 AND e.closed_ms < ?2)"
    " SELECT 'request ' || hex(id) || ': posted ' || amount || ' for ' || completion || ' delivered "
    "positions'"
    " FROM due WHERE amount <> CASE WHEN completion = 0 THEN 0 ELSE"
    " (prompt - cached) * prompt_price + cached * cached_price + completion * completion_price END",

    "SELECT 'entry ' || hex(e.id) || ': its request is not closed' FROM entry e LEFT JOIN request r ON r.id "
    "= e.id"
    " WHERE e.closed_ms >= ?1 AND e.closed_ms < ?2 AND e.kind = 0 AND r.state IS NOT 1",

    "SELECT 'entry ' || hex(e.id) || ': takes back what is not there, or not all of it' FROM entry e"
    " LEFT JOIN entry o ON o.id = e.reverses WHERE e.closed_ms >= ?1 AND e.closed_ms < ?2 AND e.kind = 1"
    " AND (o.id IS NULL OR o.kind = 1 OR o.amount <> -e.amount OR o.account <> e.account)",

    "SELECT 'entry ' || hex(id) || ': a credit of ' || -amount FROM entry"
    " WHERE closed_ms >= ?1 AND closed_ms < ?2 AND kind = 2 AND amount >= 0",

    "SELECT 'entry ' || hex(e.id) || ': not in the outbox' FROM entry e LEFT JOIN outbox o ON o.entry_id = "
    "e.id"
    " WHERE e.closed_ms >= ?1 AND e.closed_ms < ?2 AND o.seq IS NULL",
};

// Of closed requests with ids in (?1, ?2].
constexpr const char* kRequestAudits[] = {
    "SELECT 'request ' || hex(id) || ': closed, but still holds ' || held FROM request"
    " WHERE id > ?1 AND id <= ?2 AND state = 1 AND held <> 0",

    "SELECT 'request ' || hex(r.id) || ': posted nothing' FROM request r LEFT JOIN entry e ON e.id = r.id"
    " WHERE r.id > ?1 AND r.id <= ?2 AND r.state = 1 AND e.id IS NULL"
    " AND EXISTS (SELECT 1 FROM delivered d WHERE d.request_id = r.id AND d.tokens > 0)",
};

constexpr char kAccounts[] =
    "SELECT a.id, a.balance, a.held, coalesce(r.total, 0), coalesce(r.requests, 0) FROM account a LEFT JOIN"
    " (SELECT account, sum(held) AS total, count(*) AS requests FROM request WHERE state = 0 GROUP BY "
    "account) r"
    " ON r.account = a.id ORDER BY a.id";

absl::Status Collect(SqliteQuery& query, std::vector<std::string>& findings) {
  while (findings.size() < kMaxFindings) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) break;
    findings.push_back(query.Bytes(0));
  }
  return absl::OkStatus();
}

void Find(std::vector<std::string>& findings, std::string finding) {
  if (findings.size() < kMaxFindings) findings.push_back(std::move(finding));
}

}  // namespace

absl::StatusOr<std::optional<AuditReport>> LedgerAudit::AuditNews() {
  AuditReport report;
  bool is_last = false;
  QUIRE_RETURN_IF_ERROR(database_->ReadTransaction([&]() -> absl::Status {
    QUIRE_ASSIGN_OR_RETURN(const int64_t end_ms, EndOfPiece(is_last));
    QUIRE_RETURN_IF_ERROR(CheckEntries(checked_ms_, end_ms, sums_, findings_));
    checked_ms_ = end_ms;
    if (!is_last) return absl::OkStatus();
    // More may be posted in the last millisecond: it is looked at, and looked at again by the next pass.
    Sums all = sums_;
    report.findings = findings_;
    QUIRE_RETURN_IF_ERROR(CheckEntries(end_ms, INT64_MAX, all, report.findings));
    return CheckAccounts(all, report);
  }));
  return is_last ? std::optional(std::move(report)) : std::nullopt;
}

// Everything closed before this has been posted: later entries are not older than the last one.
absl::StatusOr<int64_t> LedgerAudit::EndOfPiece(bool& is_last) {
  SqliteQuery latest = database_->Query("SELECT coalesce(max(closed_ms), 0) FROM entry");
  QUIRE_RETURN_IF_ERROR(latest.Run());
  const int64_t last_ms = std::max(latest.Int(0), checked_ms_);
  SqliteQuery query = database_->Query(
      "SELECT closed_ms FROM entry WHERE closed_ms >= ?1 ORDER BY closed_ms LIMIT 1 OFFSET ?2");
  QUIRE_ASSIGN_OR_RETURN(const bool more, query.Bind(checked_ms_, piece_).Step());
  const int64_t end_ms = more ? std::max(query.Int(0), checked_ms_ + 1) : last_ms;
  is_last = end_ms >= last_ms;
  return std::min(end_ms, last_ms);
}

absl::Status LedgerAudit::CheckEntries(int64_t from_ms, int64_t to_ms, Sums& sums,
                                       std::vector<std::string>& findings) {
  {
    SqliteQuery query = database_->Query(
        "SELECT account, count(*), sum(amount) FROM entry WHERE closed_ms >= ?1 AND closed_ms < ?2 GROUP BY "
        "account");
    query.Bind(from_ms, to_ms);
    while (true) {
      QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
      if (!more) break;
      sums.entries += query.Unsigned(1);
      sums.posted[query.Bytes(0)] += query.Int(2);
    }
  }
  for (const char* sql : kEntryAudits) {
    SqliteQuery query = database_->Query(sql);
    query.Bind(from_ms, to_ms);
    QUIRE_RETURN_IF_ERROR(Collect(query, findings));
  }
  return absl::OkStatus();
}

absl::Status LedgerAudit::CheckAccounts(const Sums& sums, AuditReport& report) {
  report.entries = sums.entries;
  for (const auto& [account, posted] : sums.posted) report.posted_nano_usd += posted;
  SqliteQuery query = database_->Query(kAccounts);
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    const std::string id = query.Bytes(0);
    const auto known = sums.posted.find(id);
    const int64_t posted = known == sums.posted.end() ? 0 : known->second;
    ++report.accounts;
    report.held_nano_usd += query.Int(3);
    report.open_requests += query.Unsigned(4);
    if (query.Int(1) != posted) {
      Find(report.findings,
           absl::StrCat("account ", id, ": balance ", query.Int(1), ", but its entries sum to ", posted));
    }
    if (query.Int(2) != query.Int(3)) {
      Find(report.findings, absl::StrCat("account ", id, ": held ", query.Int(2),
                                         ", but its open requests hold ", query.Int(3)));
    }
  }
}

absl::StatusOr<bool> LedgerAudit::AuditRequests(std::vector<std::string>& findings) {
  bool is_last = false;
  std::string end(16, '\xff');
  QUIRE_RETURN_IF_ERROR(database_->ReadTransaction([&]() -> absl::Status {
    {
      SqliteQuery query =
          database_->Query("SELECT id FROM request WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2");
      QUIRE_ASSIGN_OR_RETURN(const bool more, query.Bind(SqliteBlob{request_id_}, piece_).Step());
      is_last = !more;
      if (more) end = query.Bytes(0);
    }
    for (const char* sql : kRequestAudits) {
      SqliteQuery query = database_->Query(sql);
      query.Bind(SqliteBlob{request_id_}, SqliteBlob{end});
      QUIRE_RETURN_IF_ERROR(Collect(query, findings));
    }
    return absl::OkStatus();
  }));
  request_id_ = end;
  return is_last;
}

}  // namespace quire::coordinator
