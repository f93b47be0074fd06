// What the admin API reads: usage sums, entries and the reconciliation, straight from the committed rows
// through a read-only connection of its own, so that a long report never holds up the ledger thread. Owned by
// coordinator.cc; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/ledger_audit.h"
#include "coordinator/ledger/sqlite_entries.h"

namespace quire::coordinator {

class SqliteDatabase;

struct UsageQuery {
  int64_t from_ms = 0;        // closed at or after
  int64_t to_ms = INT64_MAX;  // closed before
  std::optional<std::string> account = std::nullopt;
  bool by_hour = false;  // one row per hour instead of one over all
};

struct UsageRow {
  std::string account;
  std::string key_id;
  std::string model;
  int64_t hour_ms = 0;  // the hour's begin; 0 unless by_hour
  uint64_t requests = 0;
  uint64_t prompt_tokens = 0;  // of billed requests, cached ones among them
  uint64_t cached_tokens = 0;
  uint64_t completion_tokens = 0;
  int64_t cost_nano_usd = 0;      // of these, whatever was taken back
  int64_t reversed_nano_usd = 0;  // taken back in that time, whenever it was posted
};

class LedgerReports {
 public:
  // The file must exist (SqliteStore::Open made it).
  static absl::StatusOr<std::unique_ptr<LedgerReports>> Open(const std::string& path);
  ~LedgerReports();

  // Sums over entries, ordered by account, key, model, hour. Requests that nothing was billed for are counted
  // too.
  absl::StatusOr<std::vector<UsageRow>> Usage(const UsageQuery& query) ABSL_LOCKS_EXCLUDED(mutex_);
  // All kinds of them, as they were posted.
  absl::StatusOr<std::vector<PostedEntry>> Entries(const EntriesQuery& query) ABSL_LOCKS_EXCLUDED(mutex_);
  // balance = sum of entries; held = sum of open holds; every closed request's entry = its delivered x its
  // price. Of the whole ledger from its first row, in pieces between which others get their turn.
  absl::StatusOr<AuditReport> Audit() ABSL_LOCKS_EXCLUDED(mutex_);
  // The same of what was posted since the last pass (the first one looks at every entry), a piece per call.
  // Null: there is more. One caller.
  absl::StatusOr<std::optional<AuditReport>> AuditNews() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit LedgerReports(std::unique_ptr<SqliteDatabase> database);

  Mutex mutex_;
  std::unique_ptr<SqliteDatabase> database_ ABSL_GUARDED_BY(mutex_);
  LedgerAudit news_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::coordinator
