// Keeps the files of a folder with a certain ending (".err": what programs say on stderr, crash text) from
// growing without bound: one that passes the limit is emptied, and says so. It is told of every write by the
// kernel (inotify). The writers append, so what they write next stands at the new start. Owned by the fleet
// driver; its thread calls it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/process/folder_watch.h"

namespace quire {

class SizeGuard {
 public:
  SizeGuard(std::string folder, std::string ending, int64_t limit_bytes)
      : folder_(std::move(folder)), ending_(std::move(ending)), limit_bytes_(limit_bytes) {}

  // Looks at what is there, and watches from now on.
  absl::Status Start();
  // Readable when something was written.
  int fd() const { return watch_.fd(); }
  void Check();

 private:
  void LimitAll() const;
  void Limit(const std::string& name) const;

  const std::string folder_, ending_;
  const int64_t limit_bytes_;
  FolderWatch watch_;
};

}  // namespace quire
