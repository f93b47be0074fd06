// `quire serve`: one process tree for one machine. Checks the model, starts the coordinator (whose fleet
// driver starts the workers) and the gateway, shows progress until the groups serve, and restarts a dead
// coordinator or gateway on the same ports and data. On SIGTERM it lets the gateway drain, then the
// coordinator stop its groups, and supervises meanwhile; a later signal cuts both short
// (base/core/shutdown.h). It does the same by itself, and ends with an error, where a restart can't help
// (base/core/exit_code.h); the groups of a coordinator that is gone for good it has ended by that program
// (--end-groups). What always holds: it ends after its children, and they after their groups; ready is said
// by ready files, not by logs. One thread: everything that happens is a file descriptor in one poll.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/awake_time.h"
#include "base/core/clock.h"
#include "base/core/fd.h"
#include "base/core/shutdown.h"
#include "base/process/kept_port.h"
#include "cli/file_follower.h"
#include "cli/serve_options.h"
#include "cli/service.h"

namespace quire::cli {

class Launcher {
 public:
  // `programs`: the folder of quire-coordinator, quire-gateway and quire-worker.
  Launcher(ServeOptions options, std::string programs);

  // Returns when told to stop (OK) or when it can't go on (why). Blocks SIGTERM, SIGINT, SIGHUP, SIGCHLD.
  absl::Status Run();

 private:
  enum class Stage { kServing, kDrainingGateway, kStoppingCoordinator, kEndingGroups, kStopped };

  absl::Status Prepare();
  absl::Status MakeSignalFd();
  absl::Status KeepPorts();
  absl::Status CheckModel();
  absl::Status TakePlan(const nlohmann::json& answer);
  // Runs a program of ours to its end: its last words; InvalidArgument with them if it is not content.
  absl::StatusOr<std::string> AskAboutModel(const std::string& program, std::vector<std::string> args);
  void WaitForEvent();
  int TimeoutMs();
  void TakeSignals();
  void OnStopSignal(int number);

  void StartOrRetry(Service& service);
  void StartIfDue(Service& service);
  void OnEnded(Service& service);
  void OnEndedWhileServing(Service& service, const ProcessEnd& end, bool served);
  void OnEndedWhileStopping(Service& service, const ProcessEnd& end);

  void BeginStop();
  void BeginStoppingCoordinator();
  void TellCoordinatorToStop();
  void EndGroups();
  void OnGroupsEnded();
  void HurryStop();
  // A stage may take so long, of the time that this process was awake.
  void EndStageIn(int64_t ms) { stage_ends_ms_ = AwakeMs() + ms; }
  int64_t AwakeMs() { return awake_.NowUs() / 1000; }
  void OnStageTooLong();

  std::vector<std::string> CoordinatorArgs() const;
  std::vector<std::string> GatewayArgs() const;

  void OnReadyFile(const std::string& file, const std::string& line);
  void OnLogLine(const std::string& file, const std::string& line);
  void OnGroups(const nlohmann::json& groups);
  int64_t Hopeless() const;
  void OnGroupLost(const nlohmann::json& fields);
  absl::Status AnnounceIfReady();

  const ServeOptions options_;
  const std::string programs_, logs_, run_;
  // Once the model is checked: of each group; why so many; all groups' GPUs; what stays unused.
  int64_t ranks_ = 0, groups_ = 0;
  std::string plan_reason_, backend_, gpus_;
  std::vector<std::string> plan_notes_;
  KeptPort grpc_port_, admin_port_, api_port_;  // of the children, also while they are down
  Service coordinator_, gateway_, group_ender_;
  FileFollower log_follower_, ready_follower_;
  Fd signals_;
  std::optional<FirstSignal> first_signal_;
  Stage stage_ = Stage::kServing;
  const SystemClock clock_;
  AwakeTime awake_{clock_};
  int64_t stage_ends_ms_ = 0;  // of AwakeMs, when it takes too long; 0 = never
  int coordinator_stops_ = 0;  // that were tried
  bool hurried_ = false, announced_ = false;
  absl::Status failure_;                         // why Run has to end
  std::string coordinator_grpc_, admin_, api_;   // host:port, once known
  int64_t groups_up_ = 0;                        // that are registered
  std::map<std::string, uint64_t> last_epochs_;  // of the groups that ever were
  std::map<std::string, int> group_failures_;    // of each, since it last served
  std::string last_progress_;
};

}  // namespace quire::cli
