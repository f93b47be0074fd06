// DATA/fleet.json: what a coordinator must know of the processes that its predecessor started. Written whole
// and atomically before a group starts (its epoch) and after (its processes). Owned by ProcessDriver.
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
  uint64_t epoch = 0;
  std::string shm_name;
  std::string fingerprint;  // of the command it was started with
  uint64_t restarts = 0;
  std::vector<RecordedProcess> ranks;  // empty while starting
};

struct FleetState {
  std::string boot_id;
  std::vector<RecordedGroup> groups;
};

// An absent file is an empty state. DataLoss: it is there and can't be read as one.
absl::StatusOr<FleetState> LoadFleetState(const std::string& path);
absl::Status SaveFleetState(const std::string& path, const FleetState& state);

}  // namespace quire::coordinator
