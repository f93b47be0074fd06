#include "cli/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace quire::cli {
namespace {

constexpr int64_t kFirstBackoffMs = 100, kMaxBackoffMs = 5000, kStableMs = 10'000;

// Between fork and exec: system calls only. Never returns.
[[noreturn]] void ExecChild(const char* program, char* const* argv, int log_fd) {
  setpgid(0, 0);  // Ctrl-C reaches the launcher alone, which ends its children in order
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(program, argv);
  _exit(127);
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (running()) {
    Signal(SIGKILL);
    Reap(0);
  }
}

absl::Status ChildProcess::Start(const std::vector<std::string>& args, int64_t now_ms) {
  const int log_fd = open(log_file_.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
  if (log_fd < 0)
    return absl::UnavailableError(absl::StrCat("can't write ", log_file_, ": ", std::strerror(errno)));
  std::vector<char*> argv = {const_cast<char*>(program_.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) ExecChild(program_.c_str(), argv.data(), log_fd);
  close(log_fd);
  if (pid_ < 0)
    return absl::UnavailableError(absl::StrCat("can't start ", name_, ": ", std::strerror(errno)));
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  started_ms_ = now_ms;
  return absl::OkStatus();
}

std::string ChildProcess::Reap(int64_t now_ms) {
  int status = 0;
  waitpid(pid_, &status, 0);
  close(pidfd_);
  pidfd_ = -1;
  backoff_ms_ =
      now_ms - started_ms_ >= kStableMs ? kFirstBackoffMs : std::min(backoff_ms_ * 2, kMaxBackoffMs);
  return WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status))
                             : absl::StrCat("exit code ", WEXITSTATUS(status));
}

void ChildProcess::Signal(int signal_number) const {
  if (running()) kill(pid_, signal_number);
}

std::string ChildProcess::LastLogLine() const {
  std::ifstream log(log_file_);
  std::string line, last;
  while (std::getline(log, line)) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace quire::cli
