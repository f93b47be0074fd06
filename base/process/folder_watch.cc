#include "base/process/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace quire {

absl::Status FolderWatch::Start(const std::string& folder, uint32_t events) {
  inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify_.valid() && inotify_add_watch(inotify_.get(), folder.c_str(), events) >= 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("can't watch ", folder, ": ", std::strerror(errno)));
}

void FolderWatch::Take(const std::function<void(uint32_t event, const std::string& file)>& take) {
  alignas(inotify_event) char buffer[16384];
  for (ssize_t size; (size = read(inotify_.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if (event->len > 0) take(event->mask, event->name);
    }
  }
}

}  // namespace quire
