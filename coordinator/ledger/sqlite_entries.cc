#include "coordinator/ledger/sqlite_entries.h"

#include <utility>

#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

constexpr char kEntryById[] =
    "SELECT id, account, key_id, model, price_version, prompt_tokens, cached_tokens, completion_tokens, "
    "amount,"
    " kind, reverses, note FROM entry WHERE id = ?1";
// An entry's place: when it was posted, then its id.
constexpr char kEntries[] =
    "SELECT id, account, key_id, model, price_version, prompt_tokens, cached_tokens, completion_tokens, "
    "amount,"
    " kind, reverses, note, closed_ms FROM entry"
    " WHERE closed_ms >= max(?1, ?2) AND closed_ms < ?3 AND (closed_ms > ?2 OR id > ?4)"
    " AND (?5 IS NULL OR account = ?5) ORDER BY closed_ms, id LIMIT ?6";

absl::StatusOr<EntryRow> ReadEntry(const SqliteQuery& query) {
  EntryRow row;
  QUIRE_ASSIGN_OR_RETURN(row.id, RequestId::FromBytes(query.Bytes(0)));
  row.account = query.Bytes(1);
  row.key_id = query.Bytes(2);
  row.model = query.Bytes(3);
  row.price_version = query.Unsigned(4);
  row.billed = {.prompt = query.Unsigned(5), .cached = query.Unsigned(6), .completion = query.Unsigned(7)};
  row.amount_nano_usd = query.Int(8);
  row.kind = static_cast<EntryKind>(query.Int(9));
  if (!query.IsNull(10)) {
    QUIRE_ASSIGN_OR_RETURN(row.reverses, RequestId::FromBytes(query.Bytes(10)));
  }
  row.note = query.Bytes(11);
  return row;
}

absl::StatusOr<int64_t> WhenPosted(SqliteDatabase& database, const std::string& raw) {
  SqliteQuery query = database.Query("SELECT closed_ms FROM entry WHERE id = ?1");
  QUIRE_ASSIGN_OR_RETURN(const bool exists, query.Bind(SqliteBlob{raw}).Step());
  if (!exists) return absl::NotFoundError("there is no entry of this id to go on after");
  return query.Int(0);
}

}  // namespace

absl::Status WriteEntry(SqliteDatabase& database, const EntryRow& row, int64_t unix_ms) {
  const std::string id = row.id.ToBytes(), reverses = row.reverses ? row.reverses->ToBytes() : "";
  QUIRE_RETURN_IF_ERROR(
      database
          .Query("INSERT INTO entry(id, account, key_id, model, price_version, prompt_tokens, cached_tokens,"
                 " completion_tokens, amount, closed_ms, kind, reverses, note)"
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, nullif(?12, x''), ?13)")
          .Bind(SqliteBlob{id}, row.account, row.key_id, row.model, row.price_version, row.billed.prompt,
                row.billed.cached, row.billed.completion, row.amount_nano_usd, unix_ms,
                static_cast<int64_t>(row.kind), SqliteBlob{reverses}, row.note)
          .Run());
  return database.Query("INSERT INTO outbox(entry_id) VALUES (?1)").Bind(SqliteBlob{id}).Run();
}

absl::StatusOr<std::optional<EntryRow>> ReadEntryById(SqliteDatabase& database, const RequestId& id) {
  const std::string raw = id.ToBytes();
  SqliteQuery query = database.Query(kEntryById);
  QUIRE_ASSIGN_OR_RETURN(const bool exists, query.Bind(SqliteBlob{raw}).Step());
  if (!exists) return std::nullopt;
  QUIRE_ASSIGN_OR_RETURN(EntryRow row, ReadEntry(query));
  return row;
}

absl::StatusOr<std::vector<PostedEntry>> ReadEntries(SqliteDatabase& database, const EntriesQuery& asked) {
  const std::string after = asked.after ? asked.after->ToBytes() : "";
  int64_t after_ms = -1;
  if (asked.after) {
    QUIRE_ASSIGN_OR_RETURN(after_ms, WhenPosted(database, after));
  }
  SqliteQuery query = database.Query(kEntries);
  query.Bind(asked.from_ms, after_ms, asked.to_ms, SqliteBlob{after}, asked.account, asked.limit);
  std::vector<PostedEntry> entries;
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return entries;
    QUIRE_ASSIGN_OR_RETURN(EntryRow row, ReadEntry(query));
    entries.push_back({std::move(row), query.Int(12)});
  }
}

}  // namespace quire::coordinator
