// The books checked against themselves, in pieces: entries never change and are posted in the order of their
// time, so each is checked once and the sums of what was checked are kept; the accounts are compared with
// them in the same snapshot as the last piece. No snapshot lasts longer than a piece. Owned by LedgerReports,
// which locks around each call; one pass after another over one connection.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::coordinator {

class SqliteDatabase;

struct AuditReport {
  uint64_t accounts = 0;
  uint64_t open_requests = 0;
  uint64_t entries = 0;
  int64_t posted_nano_usd = 0;
  int64_t held_nano_usd = 0;
  std::vector<std::string>
      findings;  // one line per disagreement, at most 100 of each kind; empty: the books balance
};

class LedgerAudit {
 public:
  static constexpr int64_t kPiece = 10'000;  // rows

  explicit LedgerAudit(SqliteDatabase* database, int64_t piece = kPiece)
      : database_(database), piece_(piece) {}

  // Checks the next piece of what was posted since the last pass. Null: there is more; else the pass is over,
  // and its report is of all entries so far, with every finding about an entry since the beginning.
  absl::StatusOr<std::optional<AuditReport>> AuditNews();
  // Checks the next piece of all requests, closed ones too (an entry may be missing). True: that was the
  // last.
  absl::StatusOr<bool> AuditRequests(std::vector<std::string>& findings);

 private:
  struct Sums {
    uint64_t entries = 0;
    std::map<std::string, int64_t> posted;  // by account
  };
  absl::StatusOr<int64_t> EndOfPiece(bool& is_last);
  absl::Status CheckEntries(int64_t from_ms, int64_t to_ms, Sums& sums, std::vector<std::string>& findings);
  absl::Status CheckAccounts(const Sums& sums, AuditReport& report);

  SqliteDatabase* const database_;
  const int64_t piece_;
  int64_t checked_ms_ = 0;  // entries closed before this are in sums_
  Sums sums_;
  std::vector<std::string> findings_;  // of those
  std::string request_id_;             // AuditRequests has checked up to here
};

}  // namespace quire::coordinator
