// Follows the files of one folder (inotify): hands over each whole line that is appended, and all lines of a
// file that is renamed into place. A log that is set aside at its size limit (x.log becomes x.1.log) is read
// to its end and goes on by its own name. Where the kernel had no room to tell all, every file is looked at,
// and known by itself instead of by its name. The launcher shows progress from the logs, which stay where
// they are for the operator, and reads the ready files of its children. Used by the launcher's one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

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
  // Which file it is, whatever its name: a number that one which is gone may have had, and when it was made.
  struct FileId {
    uint64_t inode = 0;
    int64_t made_ns = 0;
    auto operator<=>(const FileId&) const = default;
  };
  struct Seen {
    FileId id;
    int64_t offset = 0;  // of the first byte not handed over
  };

  struct Event {
    uint32_t what = 0;
    std::string file;
  };

  static FileId IdOf(const std::string& path);
  // The files to read on.
  std::set<std::string> Changed(const std::vector<Event>& events);
  std::set<std::string> FindAgain();
  void OnMoved(const std::string& from, const std::string& to);
  void ReadFile(const std::string& file);

  const std::string folder_;
  const OnLine on_line_;
  FolderWatch watch_;
  std::map<std::string, Seen> seen_;
};

}  // namespace quire::cli
