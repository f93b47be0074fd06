// DATA/ as a coordinator finds or makes it: the folder itself (0700), the lock that keeps a second
// coordinator out, the ledger, the pepper under which keys are stored, the secret of local workers, and the
// first keys (all 0600). Owned by Coordinator, used while it starts; lock and ledger last as long as the
// object. They are made in this order, each durable before the next, so that what is missing tells a lost
// file from a first start that was cut short: what is made after the ledger says that there was one, and a
// ledger that knows a pepper or a key had a pepper.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/api_key.h"
#include "base/core/fd.h"
#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {

struct FirstKeys {
  std::string admin_key, api_key;  // whole keys
};

// Makes the folder if it is missing. FailedPrecondition: another coordinator uses it.
absl::StatusOr<Fd> LockDataFolder(const std::string& path);

class DataFolder {
 public:
  // FailedPrecondition: another coordinator uses it, or a file of it is damaged, or its ledger or the pepper
  // of that is lost, or the pepper another one. DataLoss: the ledger is damaged.
  static absl::StatusOr<DataFolder> Open(const std::string& path);

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  // Locked (flock) by whichever coordinator has the folder.
  std::string LockFile() const { return File("lock"); }
  SqliteStore* ledger() const { return ledger_.get(); }
  const std::string& pepper() const { return pepper_; }
  // What local workers show when there is no TLS: the content of File("worker_secret").
  const std::string& worker_secret() const { return worker_secret_; }

  // The keys of keys.json, if there is one. FailedPrecondition: it is damaged.
  absl::StatusOr<std::optional<FirstKeys>> LoadFirstKeys() const;
  // Makes them and writes keys.json.
  absl::StatusOr<FirstKeys> MakeFirstKeys() const;

 private:
  DataFolder(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  absl::Status OpenLedger();
  absl::Status LoadPepper();
  bool HadBooks() const;
  bool MayHave(const char* name) const;
  // Whether a key of keys.json is stored under it; an error where one is stored under another.
  absl::StatusOr<bool> IsProvenByFirstKeys() const;
  absl::StatusOr<std::string> LoadOrMakeSecret(const char* name, const char* otherwise) const;

  std::string path_, pepper_, worker_secret_;
  Fd lock_;
  std::unique_ptr<SqliteStore> ledger_;
};

}  // namespace quire::coordinator
