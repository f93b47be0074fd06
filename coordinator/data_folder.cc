#include "coordinator/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/secret_file.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

absl::Status MakeFolder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("can't create the data folder ", path, ": ",
                                             std::strerror(errno),
                                             ": give --data a folder that this user may make"));
}

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
  QUIRE_RETURN_IF_ERROR(MakeFolder(path));
  const std::string lock_path = path + "/lock";
  Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return absl::UnavailableError(absl::StrCat("can't open ", lock_path, ": ", std::strerror(errno),
                                               errno == EISDIR
                                                   ? ": a file belongs there, not a folder"
                                                   : ": the data folder has to be writable for this user"));
  }
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

absl::Status DataFolder::OpenLedger() {
  std::error_code error;
  const bool had_one =
      std::filesystem::exists(File("pepper"), error) || std::filesystem::exists(File("keys.json"), error);
  QUIRE_ASSIGN_OR_RETURN(ledger_, SqliteStore::Open(File("ledger.db"), SqliteStore::kCheckBytes,
                                                    had_one ? NewBooks::kRefused : NewBooks::kAllowed));
  return absl::OkStatus();
}

// A new one would void every key of the ledger, the admin's too.
absl::Status DataFolder::LoadPepper() {
  QUIRE_ASSIGN_OR_RETURN(const SqliteStore::PepperFacts known, ledger_->GetPepperFacts());
  std::error_code error;
  if ((known.has_keys || !known.proof.empty()) && !std::filesystem::exists(File("pepper"), error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(File("pepper"),
                     " is missing, and without it every key in ledger.db is void: restore it from a "
                     "backup, or move the folder away to begin anew"));
  }
  QUIRE_ASSIGN_OR_RETURN(
      pepper_, LoadOrMakeSecret("pepper", "restore it from a backup; without it every key is void"));
  QUIRE_RETURN_IF_ERROR(CheckPepper(known.proof));
  return known.proof.empty() ? ledger_->KeepPepperProof(ProofOf(pepper_)) : absl::OkStatus();
}

absl::Status DataFolder::CheckPepper(const std::string& known_proof) const {
  if (known_proof.empty()) return CheckPepperByFirstKeys();
  return ConstantTimeEqual(known_proof, ProofOf(pepper_)) ? absl::OkStatus()
                                                          : IsAnotherPepper(File("pepper"));
}

// Of a ledger from before proofs were kept: the first keys tell, while their file is there.
absl::Status DataFolder::CheckPepperByFirstKeys() const {
  QUIRE_ASSIGN_OR_RETURN(const std::optional<FirstKeys> first, LoadFirstKeys());
  if (!first) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const LedgerState state, ledger_->Load());
  for (const std::string& text : {first->admin_key, first->api_key}) {
    const std::string id = ParseApiKey(text)->id, hmac = ToBytes(ApiKeyHmac(pepper_, text));
    for (const KeyRow& key : state.keys) {
      if (key.id == id && !ConstantTimeEqual(key.hmac, hmac)) return IsAnotherPepper(File("pepper"));
    }
  }
  return absl::OkStatus();
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
  const nlohmann::json root = nlohmann::json::parse(*content, nullptr, false);
  const auto key = [&](const char* name, KeyKind kind) -> std::string {
    const auto found = root.is_object() ? root.find(name) : root.end();
    if (!root.is_object() || found == root.end() || !found->is_string()) return "";
    const auto parsed = ParseApiKey(found->get<std::string>());
    return parsed && parsed->kind == kind ? found->get<std::string>() : "";
  };
  FirstKeys keys{key("admin_key", KeyKind::kAdmin), key("api_key", KeyKind::kApi)};
  if (keys.admin_key.empty() || keys.api_key.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(File("keys.json"),
                     " is damaged (it has to have an admin_key and an api_key): restore it, or "
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
