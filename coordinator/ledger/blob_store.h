// Text bundles kept durably by digest, in a SQLite file of their own (a 7 MB write must not hold up the
// ledger's commits). Owned by coordinator.cc; any thread. Always: what Get returns hashes to the digest it
// was asked for; bytes that don't are removed, so that whoever has the right ones is asked for them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/hash.h"
#include "base/core/mutex.h"

namespace quire::coordinator {

class SqliteDatabase;

class BlobStore {
 public:
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(const std::string& path);
  ~BlobStore();

  // Stores the bytes under their SHA-256; OK if they are there already.
  absl::StatusOr<Digest> Put(std::string_view bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<bool> Has(const Digest& digest) ABSL_LOCKS_EXCLUDED(mutex_);
  // NotFound if unknown. DataLoss if the stored bytes no longer match: once, then they are unknown.
  absl::StatusOr<std::string> Get(const Digest& digest) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status RemoveDamaged(const Digest& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  explicit BlobStore(std::unique_ptr<SqliteDatabase> database);

  Mutex mutex_;
  std::unique_ptr<SqliteDatabase> database_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::coordinator
