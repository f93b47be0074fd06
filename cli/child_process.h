// One child of the launcher: started with its output in a log file, watched through a pidfd, restarted by its
// owner with a backoff of 0.1 s doubling to 5 s. A child gets SIGTERM if the launcher dies. Used by the
// launcher's one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace quire::cli {

class ChildProcess {
 public:
  // `name` is for messages; `log_file` is opened for append at each start.
  ChildProcess(std::string name, std::string program, std::string log_file)
      : name_(std::move(name)), program_(std::move(program)), log_file_(std::move(log_file)) {}
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  absl::Status Start(const std::vector<std::string>& args, int64_t now_ms);
  // Readable once the child exited; -1 while none runs.
  int pidfd() const { return pidfd_; }
  bool running() const { return pidfd_ >= 0; }
  // After pidfd became readable: takes the exit status and says how it ended ("exit code 2", "signal 9").
  // `now_ms` as in Start: a child that ran for 10 s starts the backoff afresh.
  std::string Reap(int64_t now_ms);
  // How long to wait before the next Start.
  int64_t backoff_ms() const { return backoff_ms_; }
  void Signal(int signal_number) const;
  const std::string& name() const { return name_; }
  // The last line of the log file: what a child that can't start says.
  std::string LastLogLine() const;

 private:
  const std::string name_, program_, log_file_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int64_t started_ms_ = 0;
  int64_t backoff_ms_ = 100;
};

}  // namespace quire::cli
