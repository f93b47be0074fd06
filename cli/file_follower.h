// Follows the files of one folder (inotify): hands over each whole line that is appended, and all lines of a
// file that is renamed into place. A log that is set aside at its size limit (x.log becomes x.1.log) is read
// to its end and goes on by its own name. The launcher shows progress from the logs, which stay where they
// are for the operator, and reads the ready files of its children. Used by the launcher's one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "base/process/folder_watch.h"

namespace quire::cli {

class FileFollower {
 public:
  // file: the name without its folder, and without the number of a log that was set aside.
  using OnLine = std::function<void(const std::string& file, const std::string& line)>;

  FileFollower(std::string folder, OnLine on_line)
      : folder_(std::move(folder)), on_line_(std::move(on_line)) {}

  // From the files' present ends on. Where it fails nothing is followed.
  absl::Status Start();
  // Readable when there is something to read; -1 where nothing is followed.
  int fd() const { return watch_.fd(); }
  void ReadNew();

 private:
  void OnMoved(const std::string& from, const std::string& to);
  void ReadFile(const std::string& file);

  const std::string folder_;
  const OnLine on_line_;
  FolderWatch watch_;
  std::map<std::string, int64_t> offsets_;  // of the first byte not handed over
};

}  // namespace quire::cli
