// The fleet driver of one host: each group is N rank processes. Records them in DATA/fleet.json, adopts those
// that still live when it starts (workers outlive a coordinator), sees every end through a pidfd, kills the
// whole group when any rank ends and starts it again, one epoch higher, after a backoff. One thread of its
// own waits for ends and due times; the public functions may be called from any thread. What always holds: an
// epoch is on disk before its first process starts, and it never starts twice.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "coordinator/fleet/fleet_driver.h"
#include "coordinator/fleet/fleet_state.h"
#include "coordinator/fleet/process.h"
#include "coordinator/fleet/restart_backoff.h"
#include "coordinator/fleet/worker_flags.h"

namespace quire::coordinator {

class ProcessDriver final : public FleetDriver {
 public:
  struct Config {
    std::string data_dir;  // fleet.json, logs/
    int groups = 1, ranks = 1;
    std::function<std::vector<std::string>(const RankIdentity&)> command;
    RestartBackoff::Limits backoff;
    int64_t stop_grace_ms = 10'000;  // from SIGTERM to SIGKILL
  };

  // `fence` is called under the driver's lock and must not call the driver.
  ProcessDriver(Config config, const Clock& clock, FenceSink fence);
  ~ProcessDriver() override;

  absl::Status Start() override;
  void Stop() override;
  std::vector<DrivenGroup> List() const override;

 private:
  struct GroupRun {
    GroupRun(std::string name, const RestartBackoff::Limits& limits) : id(std::move(name)), backoff(limits) {}
    std::string id;
    RestartBackoff backoff;
    GroupPhase phase = GroupPhase::kStopped;
    uint64_t epoch = 0, restarts = 0;
    std::string shm_name, last_exit;
    std::vector<Process> ranks;  // one that ended has no pidfd any more
    int64_t started_us = 0;
    int64_t due_us = 0;  // kBackoff: the restart; kStopping: SIGKILL
  };

  absl::Status OpenEvents();
  // Takes over the recorded group if all of it lives and runs the same command, else ends what is left of it.
  bool Adopt(const RecordedGroup& record, GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RestoreGroups(const FleetState& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  int NextTimeoutMs() const ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDue(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnRankEnded(GroupRun& group, size_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartGroup(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StartRanks(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `log`: of the rank that ended first; empty if none did.
  void FailGroup(GroupRun& group, const std::string& why, const std::string& log)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StopGroup(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void IfGoneScheduleRestart(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SignalRanks(const GroupRun& group, int signal_number) const;
  bool WatchRank(const GroupRun& group, size_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Save() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AllStopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Wake();
  std::string LogPath(const std::string& group_id, size_t rank) const;
  std::string ShmPrefix() const;
  std::string Fingerprint(const std::string& group_id) const;
  // Unlinks the shared memory that earlier groups of this data folder left behind.
  void RemoveStaleShm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Config config_;
  const Clock& clock_;
  const FenceSink fence_;
  Fd epoll_, wake_;
  mutable Mutex mutex_;
  std::vector<GroupRun> groups_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;  // end every group
  bool quit_ ABSL_GUARDED_BY(mutex_) = false;      // end the thread
  std::thread thread_;
};

}  // namespace quire::coordinator
