// The admin API's bodies about entries: credits and reversals to post, and which entries to list. Pure
// functions, any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/api/admin_fields.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/sqlite_entries.h"

namespace quire::coordinator {

// What POST /admin/v1/reversals asks for.
struct ReversalSpec {
  RequestId entry;
  std::string note;
};

// InvalidArgument names the field.
absl::StatusOr<Ledger::NewCredit> ParseCredit(const std::string& body);
absl::StatusOr<ReversalSpec> ParseReversal(const std::string& body);
absl::StatusOr<EntriesQuery> ParseEntriesQuery(const QueryFields& query);

nlohmann::json EntryJson(const EntryRow& entry);
nlohmann::json EntryJson(const PostedEntry& posted);  // with when it was

}  // namespace quire::coordinator
