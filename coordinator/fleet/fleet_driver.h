// Which groups should exist, and making it so: starts, watches, restarts and stops worker groups. The
// composition root owns one; the admin API lists it. It never routes: a started group becomes known by its
// own Register. Implementation: ProcessDriver (local processes), in tests over a small child program;
// Kubernetes is to be the second.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace quire::coordinator {

enum class GroupPhase {
  kRunning,   // all ranks live
  kDying,     // a rank ended, or it is what a predecessor left: being killed, not all gone yet
  kBackoff,   // waits for its restart
  kStopping,  // told to end
  kStopped,
};
const char* GroupPhaseName(GroupPhase phase);

struct DrivenGroup {
  std::string id;
  uint64_t epoch = 0;
  GroupPhase phase = GroupPhase::kStopped;
  std::vector<int64_t> pids;  // by rank
  uint64_t restarts = 0;
  int64_t restart_in_ms = 0;  // in kBackoff
  std::string last_exit;      // why the previous epoch ended, with its log's last lines; empty = never ended
  std::vector<std::string> logs;  // file of each rank
};

class FleetDriver {
 public:
  // Epochs of the group below the given one are over: said before an epoch starts and as soon as one ends.
  using FenceSink = std::function<void(const std::string& group_id, uint64_t first_valid_epoch)>;

  virtual ~FleetDriver() = default;  // leaves the groups running: their successor adopts them
  virtual absl::Status Start() = 0;
  virtual void Stop() = 0;  // ends every group, and returns when they are gone
  virtual void
  HurryStop() = 0;  // during Stop, from another thread: the groups' time to end by themselves is over
  virtual std::vector<DrivenGroup> List() const = 0;
};

}  // namespace quire::coordinator
