// What happens to the files of one folder, as the kernel tells it (inotify). A value; whoever owns it calls
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/core/fd.h"

namespace quire {

class FolderWatch {
 public:
  // From now on; `events` as inotify's (IN_MODIFY | IN_CREATE ...). Unavailable says which limit to raise.
  absl::Status Start(const std::string& folder, uint32_t events);
  // Readable when something happened; -1 where nothing is watched.
  int fd() const { return inotify_.get(); }
  // Hands over what happened since the last call, in order: the event's bits and the file's name. False: it
  // is not all, the kernel had no room for more (fs.inotify.max_queued_events); look at every file.
  [[nodiscard]] bool Take(const std::function<void(uint32_t event, const std::string& file)>& take);

 private:
  Fd inotify_;
};

}  // namespace quire
