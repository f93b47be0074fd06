#include "coordinator/ledger/blob_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

constexpr char kSchema[] = "CREATE TABLE blob(digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";
constexpr char kIfDamaged[] =
    "stop the coordinator, delete this file with its -wal and -shm, and start it again: workers bring the "
    "text bundles back";

}  // namespace

BlobStore::BlobStore(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}
BlobStore::~BlobStore() = default;

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, SqliteMode::kReadWrite, kIfDamaged));
  QUIRE_RETURN_IF_ERROR(database->EnsureSchema({kSchema}));
  return std::unique_ptr<BlobStore>(new BlobStore(std::move(database)));
}

absl::StatusOr<Digest> BlobStore::Put(std::string_view bytes) {
  const Digest digest = Sha256(bytes);
  const std::string key = ToBytes(digest);
  MutexLock lock(&mutex_);
  QUIRE_RETURN_IF_ERROR(database_->Query("INSERT OR IGNORE INTO blob(digest, bytes) VALUES (?1, ?2)")
                            .Bind(SqliteBlob{key}, SqliteBlob{bytes})
                            .Run());
  return digest;
}

absl::StatusOr<bool> BlobStore::Has(const Digest& digest) {
  const std::string key = ToBytes(digest);
  MutexLock lock(&mutex_);
  return database_->Query("SELECT 1 FROM blob WHERE digest = ?1").Bind(SqliteBlob{key}).Step();
}

absl::StatusOr<std::string> BlobStore::Get(const Digest& digest) {
  const std::string key = ToBytes(digest);
  MutexLock lock(&mutex_);
  std::string bytes;
  {
    SqliteQuery query = database_->Query("SELECT bytes FROM blob WHERE digest = ?1");
    QUIRE_ASSIGN_OR_RETURN(const bool exists, query.Bind(SqliteBlob{key}).Step());
    if (!exists) {
      return absl::NotFoundError(absl::StrCat("the text bundle ", ToHex(digest),
                                              " is not stored: a worker group that has it will bring it"));
    }
    bytes = query.Bytes(0);
  }
  if (Sha256(bytes) != digest) return RemoveDamaged(digest);
  return bytes;
}

absl::Status BlobStore::RemoveDamaged(const Digest& digest) {
  const std::string key = ToBytes(digest);
  QUIRE_RETURN_IF_ERROR(database_->Query("DELETE FROM blob WHERE digest = ?1").Bind(SqliteBlob{key}).Run());
  return absl::DataLossError(absl::StrCat(
      "the stored bytes of the text bundle ", ToHex(digest),
      " had another digest and were removed: its worker groups bring it again; if this comes back, look at "
      "the disk"));
}

}  // namespace quire::coordinator
