#include "coordinator/ledger/sqlite_store.h"

#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"
#include "coordinator/ledger/sqlite_entries.h"
#include "coordinator/ledger/sqlite_schema.h"

namespace quire::coordinator {
namespace {

// With what each delivered: a row per choice, or one without.
constexpr char kOpenRequests[] =
    "SELECT r.id, account, key_id, model, price_version, state, choices, max_tokens, prompt_tokens, "
    "cached_tokens,"
    " granted, held, reason, unbilled_ms, d.choice, d.tokens FROM request r LEFT JOIN delivered d ON "
    "d.request_id = r.id"
    " WHERE r.state = 0 ORDER BY r.id";
constexpr char kRequestById[] =
    "SELECT id, account, key_id, model, price_version, state, choices, max_tokens, prompt_tokens, "
    "cached_tokens,"
    " granted, held, reason, unbilled_ms FROM request WHERE id = ?1";
// Nobody else has rows of such a request: no entry, and nothing delivered.
constexpr char kForget[] =
    "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE unbilled_ms < ?1"
    " ORDER BY unbilled_ms, id LIMIT ?2)";

absl::StatusOr<RequestRow> ReadRequest(const SqliteQuery& query) {
  RequestRow row;
  QUIRE_ASSIGN_OR_RETURN(row.id, RequestId::FromBytes(query.Bytes(0)));
  row.account = query.Bytes(1);
  row.key_id = query.Bytes(2);
  row.model = query.Bytes(3);
  row.price_version = query.Unsigned(4);
  row.state = query.Int(5) == 0 ? RequestState::kOpen : RequestState::kClosed;
  row.choices = query.Unsigned(6);
  row.max_tokens = query.Unsigned(7);
  row.prompt_tokens = query.Unsigned(8);
  if (!query.IsNull(9)) row.cached_tokens = query.Unsigned(9);
  row.granted = query.Unsigned(10);
  row.held_nano_usd = query.Int(11);
  row.reason = static_cast<v1::SettleReason>(query.Int(12));
  row.forgettable = !query.IsNull(13);
  return row;
}

absl::Status ReadDelivered(SqliteDatabase& database, RequestRow& row) {
  const std::string id = row.id.ToBytes();
  SqliteQuery query = database.Query("SELECT choice, tokens FROM delivered WHERE request_id = ?1");
  query.Bind(SqliteBlob{id});
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    row.delivered[static_cast<uint32_t>(query.Int(0))] = query.Unsigned(1);
  }
}

absl::Status LoadAccounts(SqliteDatabase& database, LedgerState& state) {
  SqliteQuery query = database.Query("SELECT id, cap, balance, held FROM account");
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    AccountRow row{.id = query.Bytes(0),
                   .cap_nano_usd = std::nullopt,
                   .balance_nano_usd = query.Int(2),
                   .held_nano_usd = query.Int(3)};
    if (!query.IsNull(1)) row.cap_nano_usd = query.Int(1);
    state.accounts.push_back(std::move(row));
  }
}

absl::Status LoadKeys(SqliteDatabase& database, LedgerState& state) {
  std::map<std::string, std::vector<std::string>> models;
  {
    SqliteQuery query = database.Query("SELECT key_id, model FROM key_model ORDER BY key_id, model");
    while (true) {
      QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
      if (!more) break;
      models[query.Bytes(0)].push_back(query.Bytes(1));
    }
  }
  SqliteQuery query = database.Query("SELECT id, kind, hmac, account, name, created_ms, revoked_ms FROM key");
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    state.keys.push_back({.id = query.Bytes(0),
                          .kind = static_cast<KeyKind>(query.Int(1)),
                          .hmac = query.Bytes(2),
                          .account = query.Bytes(3),
                          .name = query.Bytes(4),
                          .models = models[query.Bytes(0)],
                          .created_ms = query.Int(5),
                          .revoked_ms = query.Int(6)});
  }
}

absl::Status LoadPrices(SqliteDatabase& database, LedgerState& state) {
  SqliteQuery query = database.Query(
      "SELECT model, version, prompt, cached_prompt, completion FROM price ORDER BY model, version");
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    state.prices.push_back({query.Bytes(0),
                            {.version = query.Unsigned(1),
                             .prompt = query.Int(2),
                             .cached_prompt = query.Int(3),
                             .completion = query.Int(4)}});
  }
}

absl::Status LoadOpenRequests(SqliteDatabase& database, LedgerState& state) {
  SqliteQuery query = database.Query(kOpenRequests);
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return absl::OkStatus();
    QUIRE_ASSIGN_OR_RETURN(RequestRow row, ReadRequest(query));
    std::vector<RequestRow>& rows = state.open_requests;
    if (rows.empty() || rows.back().id != row.id) rows.push_back(std::move(row));
    if (!query.IsNull(14)) rows.back().delivered[static_cast<uint32_t>(query.Int(14))] = query.Unsigned(15);
  }
}

absl::Status LoadLastClosed(SqliteDatabase& database, LedgerState& state) {
  SqliteQuery query = database.Query("SELECT coalesce(max(closed_ms), 0) FROM entry");
  QUIRE_RETURN_IF_ERROR(query.Run());
  state.last_closed_ms = query.Int(0);
  return absl::OkStatus();
}

absl::Status CheckTerm(SqliteDatabase& database, uint64_t term) {
  SqliteQuery query = database.Query("SELECT term FROM leader");
  QUIRE_RETURN_IF_ERROR(query.Run());
  if (query.Unsigned(0) == term) return absl::OkStatus();
  return absl::FailedPreconditionError("another coordinator has taken over this ledger");
}

absl::Status WriteAccount(SqliteDatabase& database, const AccountRow& row) {
  return database
      .Query(
          "INSERT INTO account(id, cap, balance, held) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE SET"
          " cap = excluded.cap, balance = excluded.balance, held = excluded.held")
      .Bind(row.id, row.cap_nano_usd, row.balance_nano_usd, row.held_nano_usd)
      .Run();
}

absl::Status WriteKey(SqliteDatabase& database, const KeyRow& row) {
  QUIRE_RETURN_IF_ERROR(
      database
          .Query(
              "INSERT INTO key(id, kind, hmac, account, name, created_ms, revoked_ms) VALUES"
              " (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(id) DO UPDATE SET revoked_ms = excluded.revoked_ms")
          .Bind(row.id, static_cast<int64_t>(row.kind), SqliteBlob{row.hmac}, row.account, row.name,
                row.created_ms, row.revoked_ms)
          .Run());
  for (const std::string& model : row.models) {
    QUIRE_RETURN_IF_ERROR(database.Query("INSERT OR IGNORE INTO key_model(key_id, model) VALUES (?1, ?2)")
                              .Bind(row.id, model)
                              .Run());
  }
  return absl::OkStatus();
}

absl::Status WritePrice(SqliteDatabase& database, const PriceRow& row, int64_t unix_ms) {
  return database
      .Query(
          "INSERT INTO price(model, version, prompt, cached_prompt, completion, created_ms) VALUES"
          " (?1, ?2, ?3, ?4, ?5, ?6)")
      .Bind(row.model, row.price.version, row.price.prompt, row.price.cached_prompt, row.price.completion,
            unix_ms)
      .Run();
}

absl::Status WriteDelivered(SqliteDatabase& database, const RequestRow& row, const std::string& id) {
  for (const auto& [choice, tokens] : row.delivered) {
    QUIRE_RETURN_IF_ERROR(
        database
            .Query("INSERT INTO delivered(request_id, choice, tokens) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT(request_id, choice) DO UPDATE SET tokens = max(tokens, excluded.tokens)")
            .Bind(SqliteBlob{id}, uint64_t{choice}, tokens)
            .Run());
  }
  return absl::OkStatus();
}

absl::Status WriteRequest(SqliteDatabase& database, const RequestRow& row, int64_t unix_ms) {
  const std::string id = row.id.ToBytes();
  const std::optional<int64_t> cached = row.cached_tokens;
  const std::optional<int64_t> unbilled_ms = row.forgettable ? std::optional(unix_ms) : std::nullopt;
  QUIRE_RETURN_IF_ERROR(
      database
          .Query(
              "INSERT INTO request(id, account, key_id, model, price_version, state, choices, max_tokens,"
              " prompt_tokens, cached_tokens, granted, held, reason, unbilled_ms)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
              " ON CONFLICT(id) DO UPDATE SET state = excluded.state, cached_tokens = excluded.cached_tokens,"
              " granted = excluded.granted, held = excluded.held, reason = excluded.reason,"
              " unbilled_ms = excluded.unbilled_ms WHERE state = 0")
          .Bind(SqliteBlob{id}, row.account, row.key_id, row.model, row.price_version,
                static_cast<int64_t>(row.state), row.choices, row.max_tokens, row.prompt_tokens, cached,
                row.granted, row.held_nano_usd, static_cast<int64_t>(row.reason), unbilled_ms)
          .Run());
  if (database.changes() != 1) return absl::InternalError("a closed request was written again");
  return WriteDelivered(database, row, id);
}

absl::Status Write(SqliteDatabase& database, const LedgerBatch& batch) {
  QUIRE_RETURN_IF_ERROR(CheckTerm(database, batch.term));
  for (const AccountRow& row : batch.accounts) QUIRE_RETURN_IF_ERROR(WriteAccount(database, row));
  for (const KeyRow& row : batch.keys) QUIRE_RETURN_IF_ERROR(WriteKey(database, row));
  for (const PriceRow& row : batch.prices) QUIRE_RETURN_IF_ERROR(WritePrice(database, row, batch.unix_ms));
  for (const RequestRow& row : batch.requests)
    QUIRE_RETURN_IF_ERROR(WriteRequest(database, row, batch.unix_ms));
  for (const EntryRow& row : batch.entries) QUIRE_RETURN_IF_ERROR(WriteEntry(database, row, batch.unix_ms));
  if (batch.forget_most == 0) return absl::OkStatus();
  return database.Query(kForget).Bind(batch.forget_before_ms, batch.forget_most).Run();
}

absl::Status BooksAreLost(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(
      path,
      " is missing or holds no books, and this folder had some: accounts, caps and revocations "
      "would be gone; remove its -wal and -shm files and restore it and pepper from one backup, or "
      "move the whole folder away to begin anew"));
}

// What can't be looked at may hold all: opening it says why it can't be had.
bool HoldsNothing(const std::string& path) {
  std::error_code error;
  const bool is_there = std::filesystem::exists(path, error);
  if (!is_there) return !error;
  return std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) == 0;
}

// Without its -wal a file may be less than what was committed to it.
absl::Status CheckBooksAreThere(SqliteDatabase& database, const std::string& path) {
  SqliteQuery query = database.Query("PRAGMA user_version");
  QUIRE_RETURN_IF_ERROR(query.Run());
  return query.Int(0) == 0 ? BooksAreLost(path) : absl::OkStatus();
}

}  // namespace

SqliteStore::SqliteStore(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}
SqliteStore::~SqliteStore() = default;

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path, uint64_t check_bytes,
                                                               NewBooks new_books) {
  if (new_books == NewBooks::kRefused && HoldsNothing(path)) return BooksAreLost(path);
  QUIRE_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, SqliteMode::kReadWrite));
  std::error_code error;
  if (std::filesystem::file_size(path, error) <= check_bytes && !error) {
    QUIRE_RETURN_IF_ERROR(database->QuickCheck());
  }
  if (new_books == NewBooks::kRefused) QUIRE_RETURN_IF_ERROR(CheckBooksAreThere(*database, path));
  QUIRE_RETURN_IF_ERROR(database->EnsureSchema(kLedgerSchema));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(database)));
}

absl::StatusOr<SqliteStore::PepperFacts> SqliteStore::GetPepperFacts() {
  PepperFacts facts;
  {
    SqliteQuery query = database_->Query("SELECT proof FROM pepper");
    QUIRE_ASSIGN_OR_RETURN(const bool kept, query.Step());
    if (kept) facts.proof = query.Bytes(0);
  }
  SqliteQuery query = database_->Query("SELECT 1 FROM key LIMIT 1");
  QUIRE_ASSIGN_OR_RETURN(facts.has_keys, query.Step());
  return facts;
}

absl::Status SqliteStore::KeepPepperProof(const std::string& proof) {
  return database_->Query("INSERT INTO pepper(one, proof) VALUES (1, ?1)").Bind(SqliteBlob{proof}).Run();
}

absl::StatusOr<uint64_t> SqliteStore::TakeOver() {
  uint64_t term = 0;
  QUIRE_RETURN_IF_ERROR(database_->Transaction([&]() -> absl::Status {
    QUIRE_RETURN_IF_ERROR(database_->Query("UPDATE leader SET term = term + 1").Run());
    SqliteQuery query = database_->Query("SELECT term FROM leader");
    QUIRE_RETURN_IF_ERROR(query.Run());
    term = query.Unsigned(0);
    return absl::OkStatus();
  }));
  return term;
}

absl::StatusOr<LedgerState> SqliteStore::Load() {
  LedgerState state;
  // One snapshot: another coordinator may be writing.
  QUIRE_RETURN_IF_ERROR(database_->ReadTransaction([&]() -> absl::Status {
    QUIRE_RETURN_IF_ERROR(LoadAccounts(*database_, state));
    QUIRE_RETURN_IF_ERROR(LoadKeys(*database_, state));
    QUIRE_RETURN_IF_ERROR(LoadPrices(*database_, state));
    QUIRE_RETURN_IF_ERROR(LoadLastClosed(*database_, state));
    return LoadOpenRequests(*database_, state);
  }));
  return state;
}

absl::StatusOr<std::optional<StoredRequest>> SqliteStore::Find(const RequestId& id) {
  const std::string raw = id.ToBytes();
  StoredRequest found;
  {
    SqliteQuery query = database_->Query(kRequestById);
    QUIRE_ASSIGN_OR_RETURN(const bool exists, query.Bind(SqliteBlob{raw}).Step());
    if (!exists) return std::nullopt;
    QUIRE_ASSIGN_OR_RETURN(found.row, ReadRequest(query));
  }
  QUIRE_RETURN_IF_ERROR(ReadDelivered(*database_, found.row));
  SqliteQuery query = database_->Query("SELECT amount FROM entry WHERE id = ?1");
  QUIRE_ASSIGN_OR_RETURN(const bool posted, query.Bind(SqliteBlob{raw}).Step());
  if (posted) found.posted_nano_usd = query.Int(0);
  return found;
}

absl::StatusOr<std::optional<EntryRow>> SqliteStore::FindEntry(const RequestId& id) {
  return ReadEntryById(*database_, id);
}

absl::Status SqliteStore::Commit(const LedgerBatch& batch) {
  return database_->Transaction([&] { return Write(*database_, batch); });
}

}  // namespace quire::coordinator
