#include "cli/file_follower.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"

namespace quire::cli {

FileFollower::~FileFollower() {
  if (fd_ >= 0) close(fd_);
}

absl::Status FileFollower::Start() {
  fd_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd_ < 0 || inotify_add_watch(fd_, folder_.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return absl::UnavailableError(absl::StrCat("can't watch ", folder_, ": ", std::strerror(errno)));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    offsets_[entry.path().filename()] = static_cast<int64_t>(entry.file_size());
  }
  return absl::OkStatus();
}

void FileFollower::ReadNew() {
  alignas(inotify_event) char buffer[16384];
  std::set<std::string> changed;
  for (ssize_t size; (size = read(fd_, buffer, sizeof(buffer))) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      if (event->len > 0) changed.insert(event->name);
      if (event->len > 0 && (event->mask & IN_MOVED_TO) != 0) offsets_[event->name] = 0;  // another file
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
  for (const std::string& file : changed) ReadFile(file);
}

void FileFollower::ReadFile(const std::string& file) {
  std::ifstream input(folder_ + "/" + file, std::ios::binary | std::ios::ate);
  if (!input) return;
  int64_t& offset = offsets_[file];
  if (input.tellg() < offset) offset = 0;  // truncated by a new start
  input.seekg(offset);
  for (std::string line; std::getline(input, line) && !input.eof();) {
    offset += static_cast<int64_t>(line.size()) + 1;
    on_line_(file, line);
  }
}

}  // namespace quire::cli
