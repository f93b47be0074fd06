// Follows the files of one folder (inotify): hands over each whole line that is appended, and all lines of a
// file that is renamed into place. The launcher shows progress from the logs, which stay where they are for
// the operator, and reads the ready files of its children. Used by the launcher's one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace quire::cli {

class FileFollower {
 public:
  // file: the name without its folder.
  using OnLine = std::function<void(const std::string& file, const std::string& line)>;

  FileFollower(std::string folder, OnLine on_line)
      : folder_(std::move(folder)), on_line_(std::move(on_line)) {}
  ~FileFollower();
  FileFollower(const FileFollower&) = delete;
  FileFollower& operator=(const FileFollower&) = delete;

  // From the files' present ends on.
  absl::Status Start();
  // Readable when there is something to read.
  int fd() const { return fd_; }
  void ReadNew();

 private:
  void ReadFile(const std::string& file);

  const std::string folder_;
  const OnLine on_line_;
  int fd_ = -1;
  std::map<std::string, int64_t> offsets_;  // of the first byte not handed over
};

}  // namespace quire::cli
