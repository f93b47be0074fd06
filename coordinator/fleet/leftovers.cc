#include "coordinator/fleet/leftovers.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "base/process/child.h"

namespace quire::coordinator {
namespace {

bool MeansSomethingHere(const FleetState& state) {
  return !state.boot_id.empty() && state.boot_id == BootId() && !state.pid_namespace.empty() &&
         state.pid_namespace == PidNamespaceId();
}

// As before its exec, when the command line is still the predecessor's.
bool IsNoRank(const std::vector<std::string>& arguments, const FleetFiles& files) {
  return std::none_of(arguments.begin(), arguments.end(),
                      [prefix = files.ShmPrefix()](const std::string& argument) {
                        return absl::StartsWith(argument, prefix);
                      });
}

}  // namespace

absl::StatusOr<std::string> FingerprintOf(std::vector<std::string> command) {
  QUIRE_ASSIGN_OR_RETURN(const std::string program, FindProgram(command.at(0)));
  struct stat file {};
  if (stat(program.c_str(), &file) != 0) {
    return absl::NotFoundError(absl::StrCat("can't start ", program, ": ", std::strerror(errno)));
  }
  command.push_back(absl::StrCat(file.st_dev, " ", file.st_ino, " ", file.st_size, " ", file.st_mtim.tv_sec,
                                 " ", file.st_mtim.tv_nsec));
  return ToHex(Sha256(absl::StrJoin(command, absl::string_view("\0", 1))));
}

Leftovers FindLeftovers(const FleetState& state, const RecordedGroup& record, const FleetFiles& files) {
  Leftovers left;
  if (record.epoch == 0 || record.shm_name.empty() || !MeansSomethingHere(state)) return left;
  if (record.shm_name != files.ShmName(record.id, record.epoch)) {
    if (!record.ranks.empty()) {
      Log(LogLevel::kWarn, "leftover_not_ours", "group", record.id, "shm", record.shm_name, "why",
          "it is not named after this data folder: if the folder was moved, stop its workers by hand");
    }
    left.some_left_alone = std::any_of(
        record.ranks.begin(), record.ranks.end(),
        [](const RecordedProcess& rank) { return FindLiving(rank.pid, rank.start_time).has_value(); });
    return left;
  }
  left.whole = !record.ranks.empty();
  for (size_t rank = 0; rank < record.ranks.size(); ++rank) {
    const RecordedProcess& recorded = record.ranks[rank];
    std::optional<Process> living = FindLiving(recorded.pid, recorded.start_time);
    const std::vector<std::string> arguments = living ? ArgumentsOf(*living) : std::vector<std::string>();
    const bool runs = std::find(arguments.begin(), arguments.end(), record.shm_name) != arguments.end();
    left.whole = left.whole && runs;
    if (!living || living->pid == getpid()) continue;
    if (runs || (IsNoRank(arguments, files) && WritesErrorsTo(*living, files.Errors(record.id, rank)))) {
      left.ranks.push_back(*std::move(living));
    } else {
      left.some_left_alone = true;
      Log(LogLevel::kWarn, "leftover_not_ours", "group", record.id, "pid", recorded.pid, "why",
          "its command line is not that of a rank of this group");
    }
  }
  return left;
}

}  // namespace quire::coordinator
