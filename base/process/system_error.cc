#include "base/process/system_error.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

const char* HowToGetMore(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files";
    case EAGAIN:
      return "raise the limit on processes (ulimit -u, the cgroup's pids.max)";
    case ENOMEM:
    case ENOBUFS:
      return "free memory, or raise the cgroup's limit on it";
    case ENOSPC:  // of epoll: no file is written here
      return "raise fs.epoll.max_user_watches";
    default:
      return "look at what this user and its cgroup may do";
  }
}

}  // namespace

absl::Status SystemError(absl::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(error), ": ", HowToGetMore(error)));
}

}  // namespace quire
