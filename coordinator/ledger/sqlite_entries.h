// The rows of the table entry, for the store that writes them and the reports that list them. Used by whoever
// owns the database, on its thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/ledger/records.h"

namespace quire::coordinator {

class SqliteDatabase;

struct PostedEntry {
  EntryRow entry;
  int64_t closed_ms = 0;
};

// Which entries, in the order of their posting.
struct EntriesQuery {
  int64_t from_ms = 0;        // posted at or after
  int64_t to_ms = INT64_MAX;  // posted before
  std::optional<std::string> account = std::nullopt;
  std::optional<RequestId> after = std::nullopt;  // those behind this one
  uint64_t limit = 100;
};

// With its row of the outbox.
absl::Status WriteEntry(SqliteDatabase& database, const EntryRow& row, int64_t unix_ms);
absl::StatusOr<std::optional<EntryRow>> ReadEntryById(SqliteDatabase& database, const RequestId& id);
// NotFound: there is no entry `after`.
absl::StatusOr<std::vector<PostedEntry>> ReadEntries(SqliteDatabase& database, const EntriesQuery& asked);

}  // namespace quire::coordinator
