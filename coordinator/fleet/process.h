// What ProcessDriver needs of Linux: start a process, know it again after a restart of ours, see its end,
// signal it. A process is known by (pid, start time), so that a reused pid is never taken for it. Values and
// plain functions, any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::coordinator {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Process {
  pid_t pid = 0;
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat: clock ticks after boot
  Fd pidfd;                 // readable once it ended
};

// Starts argv (looked up in PATH), in a process group of its own, with no signal blocked, no descriptor of
// ours, stdin from /dev/null and both outputs appended to `log_path`, which is emptied first. NotFound: no
// such program.
absl::StatusOr<Process> StartProcess(const std::vector<std::string>& argv, const std::string& log_path);

// The process that was recorded as (pid, start time), if it still lives.
std::optional<Process> FindLiving(pid_t pid, uint64_t start_time);

// False if it is gone.
bool SendSignal(const Process& process, int signal_number);

// Takes the exit status of an ended child ("exit code 70", "signal 9"); "ended" for a process that is no
// child of ours.
std::string Reap(const Process& process);

// SIGKILL to every process that has exactly this argument on its command line.
void KillByArgument(const std::string& argument);

// The last `lines` lines of a file, at most 2 KiB; empty if it can't be read.
std::string LastLines(const std::string& path, int lines);

// Changes at every boot: pids and start times mean nothing across it.
std::string BootId();

}  // namespace quire::coordinator
