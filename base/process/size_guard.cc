#include "base/process/size_guard.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace quire {

absl::Status SizeGuard::Start() {
  inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid() || inotify_add_watch(inotify_.get(), folder_.c_str(), IN_MODIFY) < 0) {
    return absl::UnavailableError(absl::StrCat("can't watch ", folder_, ": ", std::strerror(errno)));
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    Limit(entry.path().filename());
  }
  return absl::OkStatus();
}

void SizeGuard::Check() {
  alignas(inotify_event) char buffer[16384];
  std::set<std::string> changed;
  for (ssize_t size; (size = read(inotify_.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      if (event->len > 0) changed.insert(event->name);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
  for (const std::string& name : changed) Limit(name);
}

void SizeGuard::Limit(const std::string& name) const {
  if (!absl::EndsWith(name, ending_)) return;
  const Fd file(open((folder_ + "/" + name).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  struct stat now {};
  if (!file.valid() || fstat(file.get(), &now) != 0 || now.st_size <= limit_bytes_) return;
  if (ftruncate(file.get(), 0) != 0) return;
  const std::string note = absl::StrCat("(emptied: it had passed ", limit_bytes_, " bytes)\n");
  (void)!write(file.get(), note.data(), note.size());
}

}  // namespace quire
