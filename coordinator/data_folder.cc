#include "coordinator/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/json_file.h"
#include "base/core/secret_file.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

// Says nothing of the pepper, and another one has another.
std::string ProofOf(const std::string& pepper) {
  return ToBytes(HmacSha256(pepper, "the pepper of this ledger's keys"));
}

absl::Status IsAnotherPepper(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   " is not the pepper that the keys in ledger.db are stored under, and every key would be "
                   "refused: restore both from one backup, or move the folder away to begin anew"));
}

}  // namespace

absl::StatusOr<Fd> LockDataFolder(const std::string& path) {
  QUIRE_RETURN_IF_ERROR(MakePrivateFolder(path));
  const std::string lock_path = path + "/lock";
  Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return FileError("open", lock_path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another coordinator uses ", path, ": stop it, or give this one another --data folder"));
  }
  return lock;
}

absl::StatusOr<DataFolder> DataFolder::Open(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(Fd lock, LockDataFolder(path));
  DataFolder folder(path, std::move(lock));
  QUIRE_RETURN_IF_ERROR(folder.OpenLedger());
  QUIRE_RETURN_IF_ERROR(folder.LoadPepper());
  QUIRE_ASSIGN_OR_RETURN(folder.worker_secret_,
                         folder.LoadOrMakeSecret("worker_secret", "delete it, and restart the workers"));
  return folder;
}

// Each is made after the ledger, by a coordinator that has books; the pepper is not asked, which an older
// release made first and an operator may bring along.
bool DataFolder::HadBooks() const {
  const char* const marks[] = {"keys.json", "epochs.json", "models.json", "fleet.json", "bundles.db"};
  return std::any_of(std::begin(marks), std::end(marks), [&](const char* mark) { return MayHave(mark); });
}

bool DataFolder::MayHave(const char* name) const {
  std::error_code error;
  return std::filesystem::exists(File(name), error) || error;  // what can't be looked at may be there
}

absl::Status DataFolder::OpenLedger() {
  QUIRE_ASSIGN_OR_RETURN(ledger_, SqliteStore::Open(File("ledger.db"), SqliteStore::kCheckBytes,
                                                    HadBooks() ? NewBooks::kRefused : NewBooks::kAllowed));
  return absl::OkStatus();
}

// A new one would void every key of the ledger, the admin's too.
absl::Status DataFolder::LoadPepper() {
  QUIRE_ASSIGN_OR_RETURN(const SqliteStore::PepperFacts known, ledger_->GetPepperFacts());
  if ((known.has_keys || !known.proof.empty()) && !MayHave("pepper")) {
    return absl::FailedPreconditionError(
        absl::StrCat(File("pepper"),
                     " is missing, and without it every key in ledger.db is void: restore it from a "
                     "backup, or move the folder away to begin anew"));
  }
  QUIRE_ASSIGN_OR_RETURN(
      pepper_, LoadOrMakeSecret("pepper", "restore it from a backup; without it every key is void"));
  if (!known.proof.empty()) {
    return ConstantTimeEqual(known.proof, ProofOf(pepper_)) ? absl::OkStatus()
                                                            : IsAnotherPepper(File("pepper"));
  }
  // Of a ledger from before proofs were kept nothing is sealed that nothing proves.
  QUIRE_ASSIGN_OR_RETURN(const bool proven, IsProvenByFirstKeys());
  return proven || !known.has_keys ? ledger_->KeepPepperProof(ProofOf(pepper_)) : absl::OkStatus();
}

absl::StatusOr<bool> DataFolder::IsProvenByFirstKeys() const {
  QUIRE_ASSIGN_OR_RETURN(const std::optional<FirstKeys> first, LoadFirstKeys());
  if (!first) return false;
  QUIRE_ASSIGN_OR_RETURN(const LedgerState state, ledger_->Load());
  bool proven = false;
  for (const std::string& text : {first->admin_key, first->api_key}) {
    const std::string id = ParseApiKey(text)->id, hmac = ToBytes(ApiKeyHmac(pepper_, text));
    for (const KeyRow& key : state.keys) {
      if (key.id != id) continue;
      if (!ConstantTimeEqual(key.hmac, hmac)) return IsAnotherPepper(File("pepper"));
      proven = true;
    }
  }
  return proven;
}

absl::StatusOr<std::string> DataFolder::LoadOrMakeSecret(const char* name, const char* otherwise) const {
  absl::StatusOr<std::string> secret = ReadSecretFile(File(name), otherwise);
  if (!absl::IsNotFound(secret.status())) return secret;
  secret = MakeSecret();
  QUIRE_RETURN_IF_ERROR(WriteFileAtomically(File(name), *secret, 0600));
  return secret;
}

absl::StatusOr<std::optional<FirstKeys>> DataFolder::LoadFirstKeys() const {
  const absl::StatusOr<std::string> content = ReadWholeFile(File("keys.json"));
  if (absl::IsNotFound(content.status())) return std::optional<FirstKeys>();
  if (!content.ok()) return content.status();
  const nlohmann::json root = ParseJsonText(*content);
  const auto key = [&](const char* name, KeyKind kind) -> std::string {
    const auto found = root.is_object() ? root.find(name) : root.end();
    if (!root.is_object() || found == root.end() || !found->is_string()) return "";
    const auto parsed = ParseApiKey(found->get<std::string>());
    return parsed && parsed->kind == kind ? found->get<std::string>() : "";
  };
  FirstKeys keys{key("admin_key", KeyKind::kAdmin), key("api_key", KeyKind::kApi)};
  if (keys.admin_key.empty() || keys.api_key.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        File("keys.json"),
        " is damaged (it has to be JSON and nothing else, with an admin_key and an api_key): restore it, or "
        "delete it; where no admin key is live any more, new ones are made"));
  }
  return std::optional<FirstKeys>(std::move(keys));
}

absl::StatusOr<FirstKeys> DataFolder::MakeFirstKeys() const {
  FirstKeys keys{GenerateApiKey(KeyKind::kAdmin).text, GenerateApiKey(KeyKind::kApi).text};
  nlohmann::json root = nlohmann::json::object();
  root["admin_key"] = keys.admin_key;
  root["api_key"] = keys.api_key;
  QUIRE_RETURN_IF_ERROR(WriteFileAtomically(File("keys.json"), root.dump(2) + "\n", 0600));
  return keys;
}

}  // namespace quire::coordinator
