// One program that the launcher keeps running: started with its log in LOGS/NAME.log and its stderr in
// LOGS/NAME.err, watched through a pidfd, restarted by its owner after a backoff of 0.1 s doubling to 5 s. It
// gets SIGTERM if the launcher dies. Used by the launcher's one thread.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/process/process.h"

namespace quire::cli {

class Service {
 public:
  using Arguments = std::function<std::vector<std::string>()>;

  // `name` is for messages; `arguments` is asked at each start.
  Service(std::string name, std::string program, const std::string& logs, Arguments arguments);
  ~Service();  // kills what still runs
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // NotFound: there is no such program. Unavailable: worth another try.
  absl::Status Start(int64_t now_ms);
  // Makes a start due after the backoff, and returns how long that is.
  int64_t StartLater(int64_t now_ms);
  void DontStart() { start_at_ms_ = 0; }
  // When a start is due; 0 = none is.
  int64_t start_at_ms() const { return start_at_ms_; }

  bool ever_started() const { return started_ms_ != 0; }
  bool running() const { return process_.pidfd.valid(); }
  pid_t pid() const { return process_.pid; }
  // Readable once it ended; -1 while none runs.
  int pidfd() const { return process_.pidfd.get(); }
  // After pidfd became readable: how it ended. One that ran for 10 s starts the backoff afresh.
  ProcessEnd Reap(int64_t now_ms);
  void Signal(int signal_number) const { SendSignal(process_, signal_number); }
  // SIGTERM, remembered for this run.
  void TellToStop() {
    told_to_stop_ = true;
    Signal(SIGTERM);
  }
  bool told_to_stop() const { return told_to_stop_; }

  // This run has said that it serves; any run has.
  bool ready() const { return ready_; }
  bool was_ready() const { return was_ready_; }
  void SetReady() { ready_ = was_ready_ = true; }

  const std::string& name() const { return name_; }
  const std::string& log_file() const { return log_file_; }
  // Why the last run ended, as it says itself: the last line on its stderr, or else the last error in its
  // log, where it was not killed, which nobody can log. One that left no word may have had no room for it:
  // then, why LOGS can't be written. Empty: it said nothing.
  std::string LastWords() const;

 private:
  const std::string name_, program_, logs_, log_file_, error_file_;
  const Arguments arguments_;
  Process process_;
  int64_t started_ms_ = 0, start_at_ms_ = 0, backoff_ms_;
  int64_t log_start_ = 0;  // of this run, in its log file
  bool ready_ = false, was_ready_ = false, told_to_stop_ = false, ended_by_itself_ = false;
};

}  // namespace quire::cli
