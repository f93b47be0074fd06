#include "base/process/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"

namespace quire {
namespace {

// All programs of a user share what is for inotify, where they run in containers, too.
absl::Status CantWatch(const std::string& folder, int error) {
  const std::string what = absl::StrCat("can't watch ", folder);
  if (error == EMFILE) {
    return absl::UnavailableError(absl::StrCat(
        what,
        ": no inotify instance is left: raise fs.inotify.max_user_instances, or the limit on open files"));
  }
  if (error == ENOSPC) {
    return absl::UnavailableError(
        absl::StrCat(what, ": no inotify watch is left: raise fs.inotify.max_user_watches"));
  }
  return FileError("watch", folder, error);
}

}  // namespace

absl::Status FolderWatch::Start(const std::string& folder, uint32_t events) {
  Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid() || inotify_add_watch(inotify.get(), folder.c_str(), events) < 0) {
    return CantWatch(folder, errno);
  }
  inotify_ = std::move(inotify);
  return absl::OkStatus();
}

bool FolderWatch::Take(const std::function<void(uint32_t event, const std::string& file)>& take) {
  bool all = true;
  alignas(inotify_event) char buffer[16384];
  for (ssize_t size; (size = read(inotify_.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      all = all && (event->mask & IN_Q_OVERFLOW) == 0;
      if (event->len > 0) take(event->mask, event->name);
    }
  }
  return all;
}

}  // namespace quire
