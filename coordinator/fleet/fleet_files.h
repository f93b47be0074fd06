// Names of what a fleet driver keeps: files in its data folder, and its groups' shared memory. Values; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace quire::coordinator {

struct FleetFiles {
  std::string data_dir;

  std::string State() const { return data_dir + "/fleet.json"; }
  std::string LogFolder() const { return data_dir + "/logs"; }
  // A rank's log lines, and what it says on stderr (crash text).
  std::string Log(const std::string& group_id, size_t rank) const;
  std::string Errors(const std::string& group_id, size_t rank) const;

  inline static const std::string kShmFolder = "/dev/shm/";
  // Of every shared memory of this data folder and of no other one's: made from its path and its inode, so
  // that a copy has another one.
  std::string ShmPrefix() const;
  std::string ShmName(const std::string& group_id, uint64_t epoch) const;
};

}  // namespace quire::coordinator
