// `quire serve`: one process tree for one machine. Checks the model, starts the coordinator (whose fleet
// driver starts the workers) and the gateway, shows progress until the groups serve, restarts a dead
// coordinator or gateway on the same ports and data, and on SIGTERM drains the gateway first, then the
// coordinator. One thread: everything that happens is a file descriptor in Run's poll.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "cli/child_process.h"
#include "cli/file_follower.h"
#include "cli/serve_options.h"

namespace quire::cli {

class Launcher {
 public:
  // `programs`: the folder of quire-coordinator, quire-gateway and quire-worker.
  Launcher(ServeOptions options, std::string programs);

  // Returns when told to stop (OK) or when it can't go on (why). Signals are blocked by the caller.
  absl::Status Run();

 private:
  struct Service {
    std::unique_ptr<ChildProcess> process;
    std::function<std::vector<std::string>()> args;
    int64_t restart_at_ms = 0;  // 0 = no restart is due
    bool was_ready = false;
  };

  absl::Status Prepare();
  absl::Status CheckModel() const;
  absl::Status WaitForEvent();
  void TakeSignal();
  absl::Status Reap(Service& service);
  absl::Status RestartIfDue(Service& service);
  void Stop();
  void StopService(Service& service, int64_t limit_ms);

  std::vector<std::string> CoordinatorArgs() const;
  std::vector<std::string> GatewayArgs() const;

  void OnReadyFile(const std::string& file, const std::string& line);
  void OnLogLine(const std::string& file, const std::string& line);
  void OnGroupEvent(const std::string& event, const nlohmann::json& fields);
  absl::Status AnnounceIfReady();

  const ServeOptions options_;
  const std::string programs_, logs_, run_;
  Service coordinator_, gateway_;
  FileFollower log_follower_, ready_follower_;
  int signal_fd_ = -1;
  bool stopping_ = false, announced_ = false;
  absl::Status failure_;                        // why Run has to end
  std::string coordinator_grpc_, admin_, api_;  // host:port, once known
  std::set<std::string> groups_up_;
  int group_failures_ = 0;
  std::string last_progress_;
};

}  // namespace quire::cli
