#include "cli/places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/core/files.h"
#include "base/process/lock_probe.h"

namespace quire::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kTrialName[] = ".trial";  // CheckWritable's, where it was killed

// Made by a coordinator, the lock before all else; a backup may be only the books.
bool HasMarkOfOurs(const fs::path& data) {
  std::error_code error;
  for (const char* name : {"lock", "ledger.db", "pepper"}) {
    if (fs::exists(data / name, error)) return true;
  }
  return false;
}

// What may stand in a folder that no coordinator has had yet: ours, and a new volume's own.
bool MeansNothing(const std::string& name) {
  return name == "logs" || name == "run" || name == "lost+found" || name == kTrialName;
}

}  // namespace

absl::Status CheckDataFolder(const std::string& data) {
  std::error_code error;
  if (!fs::exists(data, error) && !error) return absl::OkStatus();
  fs::directory_iterator entry(data, error);
  if (error) {
    return FileError("read the folder of --data,", data, error.value());
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
  return FileError("read the folder of --data,", data, error.value());
}

absl::Status CheckNobodyHas(const std::string& data) {
  if (ProbeLock(data + "/lock") != LockState::kHeld) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("another quire serve, or its coordinator, uses ", data,
                                                    ": stop it, or give --data another folder"));
}

absl::Status CheckWritable(const std::string& folder) {
  constexpr size_t kTrialBytes = 64 << 10;
  const std::string path = folder + "/" + kTrialName, content(kTrialBytes, '.');
  unlink(path.c_str());  // a leftover
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.valid()) unlink(path.c_str());
  size_t written = 0;
  while (file.valid() && written < kTrialBytes) {
    const ssize_t more = write(file.get(), content.data() + written, kTrialBytes - written);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) break;
    written += static_cast<size_t>(more);
  }
  if (written == kTrialBytes && fsync(file.get()) == 0) return absl::OkStatus();
  return FileError("write in", folder, errno);
}

// As it will be written: a file beside it that is then renamed.
absl::Status CheckReadyFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  const std::string beside = path + ".tmp";
  unlink(beside.c_str());  // a leftover; whatever lies there is not followed
  const Fd file(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const int failure = errno;
  if (file.valid()) fs::remove(beside, error);
  if (fs::is_directory(path, error)) return FileError("write --ready-file", path, EISDIR);
  return file.valid() ? absl::OkStatus() : FileError("write --ready-file", path, failure);
}

void RemoveReadyFile(const std::string& path) {
  std::error_code error;
  if (!path.empty() && !fs::is_directory(path, error)) fs::remove(path, error);
}

}  // namespace quire::cli
