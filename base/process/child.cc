#include "base/process/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/core/files.h"
#include "base/process/system_error.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets to say that it is C
}
extern char** environ;

namespace quire {
namespace {

constexpr int kExitNeverReleased = 126, kExitNotStarted = 127;

absl::Status CantStart(const std::string& program, int error) {
  return absl::NotFoundError(absl::StrCat("can't start ", program, ": ", std::strerror(error),
                                          ": put the program there again, or name another path"));
}

struct Line {
  Fd child_end, our_end;
};

// A socket pair rather than a pipe: a write to a child that is gone is then an error and no SIGPIPE.
absl::StatusOr<Line> MakeLine() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return SystemError("can't make a line to a child process", errno);
  }
  return Line{Fd(ends[0]), Fd(ends[1])};
}

// All that the child needs, made before the fork: after it only async-signal-safe calls are allowed, since
// another thread of ours may hold any lock.
struct ChildPlan {
  const char* program;
  char* const* argv;
  int output, gate, failure, death_signal;
};

// stdin, stdout, stderr, gate, failure become 0..4, and nothing else stays open: not the other ends of gates
// either.
void ArrangeDescriptors(const ChildPlan& plan) {
  constexpr int kFree = 10, kGate = 3, kFailure = 4;
  const int gate = fcntl(plan.gate, F_DUPFD, kFree), failure = fcntl(plan.failure, F_DUPFD, kFree);
  if (plan.output >= 0) {
    dup2(plan.output, STDOUT_FILENO);
    dup2(STDOUT_FILENO, STDERR_FILENO);
  }
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(gate, kGate);
  dup2(failure, kFailure);
  fcntl(kGate, F_SETFD, FD_CLOEXEC);
  fcntl(kFailure, F_SETFD, FD_CLOEXEC);
  close_range(kFailure + 1, ~0U, 0);
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  setpgid(0, 0);  // Ctrl-C reaches the operator's program alone, which ends its children in order
  if (plan.death_signal != 0) prctl(PR_SET_PDEATHSIG, plan.death_signal);
  ArrangeDescriptors(plan);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGCHLD, SIG_DFL);
  char released = 0;
  ssize_t count;
  do {
    count = read(3, &released, 1);
  } while (count < 0 && errno == EINTR);
  if (count != 1) _exit(kExitNeverReleased);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.program, plan.argv, environ);
  const int why = errno;
  (void)!write(4, &why, sizeof why);
  _exit(kExitNotStarted);
}

absl::Status CantReadProc(pid_t pid) {
  const absl::Status unread = ReadWholeFile(absl::StrCat("/proc/", pid, "/stat")).status();
  return absl::IsUnavailable(unread) ? unread : absl::UnavailableError("can't read /proc: is it mounted?");
}

// The child may not have been reaped by anybody else: its pid is still its own.
absl::Status Hold(Process& process) {
  process.pidfd = Fd(pidfd_open(process.pid, 0));
  if (process.pidfd.valid()) process.start_time = StartTimeOf(process.pid);
  if (process.start_time != 0) return absl::OkStatus();
  const absl::Status error =
      process.pidfd.valid() ? CantReadProc(process.pid) : SystemError("can't hold a child process", errno);
  kill(process.pid, SIGKILL);
  waitpid(process.pid, nullptr, 0);
  return error;
}

}  // namespace

absl::Status StartGate::Open() {
  const char go = 1;
  if (send(release_.get(), &go, 1, MSG_NOSIGNAL) != 1)
    return absl::UnavailableError(absl::StrCat("can't start ", program_, ": its process was killed before: ",
                                               "the kernel's log says so where memory was short"));
  release_.Close();
  int why = 0;
  ssize_t count;
  do {
    count = read(failure_.get(), &why, sizeof why);
  } while (count < 0 && errno == EINTR);
  failure_.Close();
  if (count == 0) return absl::OkStatus();
  return CantStart(program_, count == sizeof why ? why : EIO);
}

absl::StatusOr<HeldChild> ForkHeld(const ChildSpec& spec) {
  absl::StatusOr<Line> gate = MakeLine(), failure = MakeLine();
  if (!gate.ok()) return gate.status();
  if (!failure.ok()) return failure.status();
  std::vector<char*> argv;
  for (const std::string& argument : spec.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const ChildPlan plan{
      argv[0], argv.data(), spec.output, gate->child_end.get(), failure->child_end.get(), spec.death_signal};
  Process process;
  process.pid = fork();
  if (process.pid == 0) RunChild(plan);
  if (process.pid < 0) return SystemError(absl::StrCat("can't fork for ", spec.argv[0]), errno);
  if (absl::Status held = Hold(process); !held.ok()) return held;
  return HeldChild{std::move(process),
                   StartGate(spec.argv[0], std::move(gate->our_end), std::move(failure->our_end))};
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::vector<std::string> candidates;
  if (name.find('/') != std::string::npos) {
    candidates = {name};
  } else {
    for (absl::string_view folder : absl::StrSplit(path != nullptr ? path : "", ':')) {
      candidates.push_back(absl::StrCat(folder.empty() ? "." : folder, "/", name));
    }
  }
  int why = ENOENT;
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    if (errno != ENOENT) why = errno;
  }
  return CantStart(name, why);
}

absl::StatusOr<Fd> OpenOutput(const std::string& path) {
  // An empty one tells nothing, and what stands in PATH.1 may.
  struct stat last {};
  if (stat(path.c_str(), &last) == 0 && last.st_size > 0) {
    std::rename(path.c_str(), (path + ".1").c_str());
  }
  Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return FileError("write", path, errno);
  return file;
}

std::string LastLines(const std::string& path, int lines, int64_t max_bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = std::max<int64_t>(0, file.tellg());
  const int64_t from = std::max<int64_t>(0, size - max_bytes);
  std::string tail(static_cast<size_t>(size - from), '\0');
  file.seekg(from);
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  std::vector<std::string> all = absl::StrSplit(tail, '\n', absl::SkipEmpty());
  if (from > 0 && all.size() > 1) all.erase(all.begin());  // it lacks its beginning
  if (all.size() > static_cast<size_t>(lines)) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

}  // namespace quire
