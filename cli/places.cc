#include "cli/places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/process/lock_probe.h"

namespace quire::cli {
namespace {

namespace fs = std::filesystem;

// Made by a coordinator, the lock before all else; a backup may be only the books.
bool HasMarkOfOurs(const fs::path& data) {
  std::error_code error;
  for (const char* name : {"lock", "ledger.db", "pepper"}) {
    if (fs::exists(data / name, error)) return true;
  }
  return false;
}

// What may stand in a folder that no coordinator has had yet: ours, and a new volume's own.
bool MeansNothing(const std::string& name) { return name == "logs" || name == "run" || name == "lost+found"; }

// For who can't make a folder.
const char* AdviceFor(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free space, or give --data another folder";
    case EEXIST:
      return "it is no folder: move it away, or give --data another folder";
    case EACCES:
    case EPERM:
      return "let this user write there, or give --data another folder";
    default:
      return "give --data another folder";
  }
}

}  // namespace

absl::Status CheckDataFolder(const std::string& data) {
  std::error_code error;
  if (!fs::exists(data, error) && !error) return absl::OkStatus();
  fs::directory_iterator entry(data, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("--data ", data, " can't be read: ", error.message()));
  }
  if (HasMarkOfOurs(data)) return absl::OkStatus();
  for (; entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (MeansNothing(name)) continue;
    return absl::FailedPreconditionError(absl::StrCat("--data ", data,
                                                      " is no data folder of quire, and not empty (", name,
                                                      "): give it a folder of its own"));
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("--data ", data, " can't be read: ", error.message()));
}

absl::Status CheckNobodyHas(const std::string& data) {
  if (ProbeLock(data + "/lock") != LockState::kHeld) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("another quire serve, or its coordinator, uses ", data,
                                                    ": stop it, or give --data another folder"));
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  const fs::path parent = fs::path(folder).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  const int why = errno;
  if (why == EEXIST && fs::is_directory(folder, error)) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("can't make ", folder, ": ", std::strerror(why), ": ", AdviceFor(why)));
}

absl::Status CheckWritable(const std::string& folder) {
  constexpr size_t kTrialBytes = 64 << 10;
  const std::string path = folder + "/.trial", content(kTrialBytes, '.');
  unlink(path.c_str());  // a leftover
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.valid()) unlink(path.c_str());
  size_t written = 0;
  while (file.valid() && written < kTrialBytes) {
    const ssize_t more = write(file.get(), content.data() + written, kTrialBytes - written);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) break;
    written += static_cast<size_t>(more);
  }
  if (written == kTrialBytes && fsync(file.get()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      folder, " can't be written: ", std::strerror(errno),
      ": make room on its disk, let this user write there, or give --data a folder that is writable"));
}

// As it will be written: a file beside it that is then renamed.
absl::Status CheckReadyFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  const std::string beside = path + ".tmp";
  unlink(beside.c_str());  // a leftover; whatever lies there is not followed
  const Fd file(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const int failure = errno;
  const bool is_folder = fs::is_directory(path, error);
  const char* why = is_folder ? "it is a folder" : std::strerror(failure);
  if (file.valid()) fs::remove(beside, error);
  if (file.valid() && !is_folder) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--ready-file ", path, " can't be written: ", why));
}

void RemoveReadyFile(const std::string& path) {
  std::error_code error;
  if (!path.empty() && !fs::is_directory(path, error)) fs::remove(path, error);
}

}  // namespace quire::cli
