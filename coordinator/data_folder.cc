#include "coordinator/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/ids.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

constexpr size_t kSecretBytes = 32;

absl::Status MakeFolder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("can't create the data folder ", path, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<Fd> LockDataFolder(const std::string& path) {
  QUIRE_RETURN_IF_ERROR(MakeFolder(path));
  const std::string lock_path = path + "/lock";
  Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return absl::UnavailableError(absl::StrCat("can't open ", lock_path, ": ", std::strerror(errno)));
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
  QUIRE_RETURN_IF_ERROR(folder.CheckPepperIsThere());
  QUIRE_ASSIGN_OR_RETURN(folder.pepper_,
                         folder.LoadOrMakeSecret("pepper", "without the old one every key is void"));
  QUIRE_ASSIGN_OR_RETURN(folder.worker_secret_,
                         folder.LoadOrMakeSecret("worker_secret", "delete it, and restart the workers"));
  return folder;
}

// A new one would void every key of the ledger, the admin's too.
absl::Status DataFolder::CheckPepperIsThere() const {
  std::error_code error;
  if (!std::filesystem::exists(File("ledger.db"), error) || std::filesystem::exists(File("pepper"), error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(File("pepper"),
                   " is missing, and without it every key in ledger.db is void: restore it from a "
                   "backup, or move the folder away to begin anew"));
}

absl::StatusOr<std::string> DataFolder::LoadOrMakeSecret(const char* name, const char* loss) const {
  absl::StatusOr<std::string> secret = ReadWholeFile(File(name));
  if (absl::IsNotFound(secret.status())) {
    secret = absl::BytesToHexString(RandomBytes(kSecretBytes));
    QUIRE_RETURN_IF_ERROR(WriteFileAtomically(File(name), *secret, 0600));
  }
  if (secret.ok() && secret->size() < kSecretBytes) {
    return absl::FailedPreconditionError(absl::StrCat(File(name), " is damaged: ", loss));
  }
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
