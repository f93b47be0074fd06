// What is left of a group that a predecessor started: which of the recorded processes still live and are
// provably ours. Proof is all of: the record is of this boot and PID namespace, a pidfd holds a process with
// the recorded pid and start time, the recorded shared memory is this data folder's for that group and epoch,
// and the process has that name as an argument (or writes its errors to the group's file here: our child
// before its exec). Nobody else is ever signalled or adopted. Pure but for /proc; the fleet driver's.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/process/process.h"
#include "coordinator/fleet/fleet_files.h"
#include "coordinator/fleet/fleet_state.h"

namespace quire::coordinator {

struct Leftovers {
  std::vector<Process> ranks;    // those that live and are ours
  bool whole = false;            // all recorded ranks do, and run their program
  bool some_left_alone = false;  // another recorded process lives, and is not proven ours
};

// What a rank of this command runs: the command and the program's very file, so that an upgrade in place has
// another one. NotFound: there is no such program.
absl::StatusOr<std::string> FingerprintOf(std::vector<std::string> command);

Leftovers FindLeftovers(const FleetState& state, const RecordedGroup& record, const FleetFiles& files);

}  // namespace quire::coordinator
