#include "base/process/lock_probe.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/core/fd.h"

namespace quire {

LockState ProbeLock(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno == ENOENT ? LockState::kFree : LockState::kUnknown;
  if (flock(file.get(), LOCK_SH | LOCK_NB) == 0) return LockState::kFree;
  return errno == EWOULDBLOCK ? LockState::kHeld : LockState::kUnknown;
}

}  // namespace quire
