// What is known of a process from outside, and how it is signalled. A process is known by (pid, start time)
// and held by a pidfd, so that a reused pid is never taken for it; nothing here looks for processes by a
// name. Used by the fleet driver and the launcher; values and plain functions, any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/core/fd.h"

namespace quire {

struct Process {
  pid_t pid = 0;
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat: clock ticks after boot
  Fd pidfd;                 // readable once it ended
};

// 0 when there is no such process, or it has ended and only waits to be reaped.
uint64_t StartTimeOf(pid_t pid);

// The process that was recorded as (pid, start time), if it still lives.
std::optional<Process> FindLiving(pid_t pid, uint64_t start_time);

// Its command line as it is now; empty if it is gone.
std::vector<std::string> ArgumentsOf(const Process& process);

// Whether its stderr is this very file (device and inode): true for a child of ours before its exec, too.
bool WritesErrorsTo(const Process& process, const std::string& path);

// False if it is gone.
bool SendSignal(const Process& process, int signal_number);

// How a process ended.
struct ProcessEnd {
  std::optional<int> exit_code, signal;  // neither: it was no child of ours, so nobody can say

  bool known() const { return exit_code || signal; }
  bool clean() const { return exit_code == 0; }
  std::string Text() const;  // "exit code 70", "signal 9", "ended"
};

// Takes the exit status of an ended child.
ProcessEnd Reap(const Process& process);
// The same, but waits for its end.
ProcessEnd AwaitEnd(const Process& process);

// Takes the exit status of every ended child but `own`: of processes whose parent died and that fell to us.
// Returns how many. Needed where we are PID 1.
int ReapAdopted(const std::vector<pid_t>& own);

// What a pid and a start time mean something in: they change at every boot, and with the PID namespace.
std::string BootId();
std::string PidNamespaceId();

}  // namespace quire
