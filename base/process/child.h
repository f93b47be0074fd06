// A child process in two steps: it is forked and waits at a gate, and only when the gate is opened does it
// become the program. Between the two its owner writes down who it is, so that no child runs that isn't
// recorded. If the owner dies first, the child sees the gate close and ends without having run anything. Used
// by the fleet driver and the launcher, on their own threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/process/process.h"

namespace quire {

struct ChildSpec {
  std::vector<std::string> argv;  // argv[0]: a path as FindProgram gives it
  int output = -1;                // where stdout and stderr go
  int death_signal = 0;           // sent to the child when the forking thread ends; 0 = it lives on
};

class StartGate {
 public:
  StartGate() = default;
  StartGate(std::string program, Fd release, Fd failure)
      : program_(std::move(program)), release_(std::move(release)), failure_(std::move(failure)) {}

  // Lets the child become its program, and returns when it has. NotFound: it can't, and has ended.
  absl::Status Open();

 private:
  std::string program_;
  Fd release_;  // closed without a byte: the child ends
  Fd failure_;  // the exec's errno; nothing if it went well
};

struct HeldChild {
  Process process;
  StartGate gate;
};

// The child has a process group of its own, no signal blocked, SIGPIPE and SIGCHLD at their defaults, no
// descriptor of ours, and stdin from /dev/null. Unavailable: no memory, process or descriptor is left; worth
// another try later.
absl::StatusOr<HeldChild> ForkHeld(const ChildSpec& spec);

// Where a program is: the name itself if it has a slash, else the first in PATH. NotFound says what to do.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// Opens a file for a child's output, for append and emptied; what it held, if anything, is kept as PATH.1.
absl::StatusOr<Fd> OpenOutput(const std::string& path);

// The last `lines` lines of a file, at most so many bytes: whole ones, unless one alone is longer; empty if
// it can't be read.
std::string LastLines(const std::string& path, int lines, int64_t max_bytes = 2048);

}  // namespace quire
