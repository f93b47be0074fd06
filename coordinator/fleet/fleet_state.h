// DATA/fleet.json: what a coordinator must know of the processes that its predecessor started. Written whole,
// atomically and durably after a group's processes are forked and before they run, so that what runs is
// recorded. What can't be read as a process is not one: a damaged or edited file never names somebody to be
// signalled. Owned by ProcessDriver.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::coordinator {

struct RecordedProcess {
  pid_t pid = 0;
  uint64_t start_time = 0;
};

struct RecordedGroup {
  std::string id;
  uint64_t epoch = 0;  // the last one that may have started: above 0
  std::string shm_name;
  std::string fingerprint;  // of the command and the program it was started with
  uint64_t restarts = 0;
  std::vector<RecordedProcess> ranks;  // all of its epoch, or none
};

// Where a pid and a start time mean something: this boot, this PID namespace.
struct FleetState {
  std::string boot_id, pid_namespace;
  std::vector<RecordedGroup> groups;
};

// An absent file is an empty state. FailedPrecondition: it is there and can't be read as one. Groups without
// an id or an epoch (or with one beyond all bounds) are left out; one with any doubtful rank or no shm_name
// has no ranks.
absl::StatusOr<FleetState> LoadFleetState(const std::string& path);
// Leaves out groups that never started.
absl::Status SaveFleetState(const std::string& path, const FleetState& state);

}  // namespace quire::coordinator
