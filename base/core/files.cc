#include "base/core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/fd.h"

namespace quire {
namespace {

const char* WhatToDo(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return ": let this user do that, or give another path";
    case EISDIR:
      return ": a file belongs there, not a folder";
    case EEXIST:
    case ENOTDIR:
      return ": a folder belongs there, not a file: move it away, or give another path";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ": make room on its disk, or raise the quota or limit";
    case ENOENT:
      return ": make its folder, or give another path";
    case EROFS:
      return ": mount it writable, or give another path";
    case EMFILE:
    case ENFILE:
      return ": raise the limit on open files";
    default:
      return ": look at its disk and mount, or give another path";
  }
}

absl::Status ErrnoError(const char* what, const std::string& path) { return FileError(what, path, errno); }

bool WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

absl::Status WriteNewFile(const std::string& path, std::string_view content, mode_t mode) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoError("create", path);
  if (!WriteAll(fd.get(), content) || fsync(fd.get()) != 0) return ErrnoError("write", path);
  return absl::OkStatus();
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError("open", directory);
  return fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoError("sync", directory);
}

}  // namespace

absl::Status FileError(const char* what, const std::string& path, int error) {
  return absl::UnavailableError(
      absl::StrCat("can't ", what, " ", path, ": ", std::strerror(error), WhatToDo(error)));
}

absl::Status MakePrivateFolder(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("a folder's path is empty");
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return FileError("make the folder", parent.string(), error.value());
  if (mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  const int why = errno;
  if (why == EEXIST && std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return FileError("make the folder", path, why);
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));  // a FIFO would wait for its writer
  if (!file.valid() && errno == ENOENT) return absl::NotFoundError(absl::StrCat("no file ", path));
  struct stat found {};
  if (!file.valid() || fstat(file.get(), &found) != 0) return ErrnoError("open", path);
  if (S_ISDIR(found.st_mode)) return FileError("read", path, EISDIR);
  if (!S_ISREG(found.st_mode)) {
    return absl::UnavailableError(absl::StrCat("can't read ", path, ": it is no plain file: put one there"));
  }
  std::string content;
  char part[1 << 16];
  while (true) {
    const ssize_t count = read(file.get(), part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError("read", path);
    if (count == 0) return content;
    content.append(part, static_cast<size_t>(count));
  }
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = path + ".tmp";
  unlink(temporary.c_str());  // a leftover may have another mode
  const absl::Status written = WriteNewFile(temporary, content, mode);
  if (!written.ok()) {
    unlink(temporary.c_str());  // a full disk has no room for it
    return written;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    absl::Status failed = ErrnoError("rename to", path);  // before errno is another's
    unlink(temporary.c_str());
    return failed;
  }
  return SyncDirectoryOf(path);
}

}  // namespace quire
