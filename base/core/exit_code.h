// The exit codes of the programs, and which of them no restart can help: the one table, for the programs
// themselves and for who supervises them (the launcher, the fleet driver). Any other code, and every signal,
// is worth another try.
#pragma once

#include "absl/status/status.h"

namespace quire {

inline constexpr int kExitFailed = 1;       // it could not start or go on
inline constexpr int kExitUsage = 2;        // its command line is wrong
inline constexpr int kExitGroupLost = 70;   // of a rank: its group is lost, by whichever rank's fault
inline constexpr int kExitLedgerLost = 74;  // the disk or a file of the books is broken, or others took them
inline constexpr int kExitRefused = 78;  // what it was told, or found, forbids it to serve: stderr says what

constexpr bool RestartCanHelp(int exit_code) {
  return exit_code != kExitUsage && exit_code != kExitLedgerLost && exit_code != kExitRefused;
}

// Of a program that could not start.
inline int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return 0;
  if (absl::IsDataLoss(status)) return kExitLedgerLost;
  const bool refused = absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
  return refused ? kExitRefused : kExitFailed;
}

}  // namespace quire
