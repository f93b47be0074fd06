// The fleet driver of one host: each group is N rank processes. Forks them, records them in DATA/fleet.json
// and only then lets them run; adopts those that still live when it starts (workers outlive a coordinator);
// sees every end through a pidfd, kills the whole group when any rank ends and starts it again, one epoch
// higher, after a backoff; one that was told to end from outside at once. One thread of its own waits for
// ends and due times; the public functions may be called from any thread. What always holds: no rank runs
// that isn't on disk, an epoch never starts twice, a group starts only when all of its earlier processes are
// gone, and only processes that are provably ours (leftovers.h) are signalled.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "base/process/child.h"
#include "base/process/process.h"
#include "base/process/size_guard.h"
#include "coordinator/fleet/fleet_driver.h"
#include "coordinator/fleet/fleet_files.h"
#include "coordinator/fleet/fleet_state.h"
#include "coordinator/fleet/leftovers.h"
#include "coordinator/fleet/restart_backoff.h"
#include "coordinator/fleet/worker_flags.h"

namespace quire::coordinator {

class ProcessDriver final : public FleetDriver {
 public:
  struct ServedRun {
    int64_t ms = 0;         // since it registered; 0 = it never did. Loading is no sign of health
    bool draining = false;  // the last that was heard of it
  };

  struct Config {
    std::string data_dir;  // fleet.json, logs/
    int groups = 1, ranks = 1;
    std::function<std::vector<std::string>(const RankIdentity&)> command;
    // What must be as it was for a running group to be adopted: the command without what was chosen from the
    // host's CPUs. Empty: the command.
    std::function<std::vector<std::string>(const RankIdentity&)> lasting_command;
    RestartBackoff::Limits backoff;
    int64_t stop_grace_ms = 10'000;     // from SIGTERM to SIGKILL
    int64_t hurry_grace_ms = 1'000;     // the same from HurryStop on
    int64_t max_error_bytes = 1 << 20;  // of a rank's stderr that is kept
    // How the epoch did. Called under the driver's lock, must not call the driver.
    std::function<ServedRun(const std::string& group_id, uint64_t epoch)> served;
    // The highest epoch that each group is known to have had (epochs.json): a group starts above it, also
    // where fleet.json is lost or older.
    std::map<std::string, uint64_t> past_epochs;
  };

  // `fence` is called under the driver's lock and must not call the driver.
  ProcessDriver(Config config, const Clock& clock, FenceSink fence);
  ~ProcessDriver() override;

  absl::Status Start() override;
  void Stop() override;
  void HurryStop() override;
  std::vector<DrivenGroup> List() const override;
  // Whether a process that a predecessor recorded may still run, and was left alone.
  bool left_some() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct GroupRun {
    GroupRun(std::string name, int64_t its_number, const RestartBackoff::Limits& limits, bool is_wanted)
        : id(std::move(name)), number(its_number), backoff(limits), wanted(is_wanted) {}
    std::string id;
    int64_t number;  // among those that are wanted
    RestartBackoff backoff;
    bool wanted;                   // false: a predecessor's beyond our number, only ended
    bool restart_at_once = false;  // kDying: its end is no failure (a predecessor's, or as it was told)
    GroupPhase phase = GroupPhase::kStopped;
    uint64_t epoch = 0, restarts = 0;
    std::string shm_name, fingerprint, last_exit;
    std::vector<Process> ranks;  // one that ended has no pidfd any more
    int64_t due_us = 0;          // kBackoff: the restart; kStopping: the next look at grace_ms
    int64_t grace_ms = 0;        // kStopping: to SIGKILL, of time that this process was awake
  };

  absl::Status OpenEvents();
  void RestoreGroups(const FleetState& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adopts what is recorded if all of it lives and runs the same command, else begins to end what is left of
  // it.
  void TakeOver(const FleetState& state, const RecordedGroup& record, GroupRun& group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  int NextTimeoutMs() const ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEvent(uint64_t tag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnDue(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // kStopping: SIGKILL once its grace is used up.
  void OnGraceRound(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetGrace(GroupRun& group, int64_t grace_ms) const;
  void OnRankEnded(GroupRun& group, size_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartGroup(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StartRanks(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<StartGate> ForkRank(GroupRun& group, size_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether somebody told the group to end (a rolling restart), and it did as it should.
  static bool EndedAsTold(const ProcessEnd& end, const ServedRun& run);
  // `rank`: the one that ended first.
  void EndAsTold(GroupRun& group, size_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  struct Cause {
    std::string why;
    std::optional<size_t> rank = std::nullopt;  // none if the group couldn't start
    bool by_itself = false;                     // it exited, and its log says why
    bool final = false;                         // a restart can't help it
  };
  void FailGroup(GroupRun& group, const Cause& cause, const ServedRun& run)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndEpoch(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ServedRun Served(const GroupRun& group) const;
  void StopGroup(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void IfGoneGoOn(GroupRun& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SignalRanks(const GroupRun& group, int signal_number) const;
  bool Watch(int fd, uint64_t tag) const;
  uint64_t TagOf(const GroupRun& group, size_t rank) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Save() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AllStopped() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Wake();
  RankIdentity Identity(const GroupRun& group, size_t rank) const;
  absl::StatusOr<std::string> Fingerprint(const GroupRun& group) const;
  // Unlinks the shared memory that earlier groups of this data folder left behind.
  void RemoveStaleShm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Config config_;
  const FleetFiles files_;
  const Clock& clock_;
  const FenceSink fence_;
  Fd epoll_, wake_;
  SizeGuard error_files_;  // the driver's thread, once it runs
  mutable Mutex mutex_;
  std::vector<GroupRun> groups_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;   // end every group
  bool hurried_ ABSL_GUARDED_BY(mutex_) = false;    // and don't wait for those that take their time
  bool quit_ ABSL_GUARDED_BY(mutex_) = false;       // end the thread
  bool left_some_ ABSL_GUARDED_BY(mutex_) = false;  // of a predecessor's processes that were not proven ours
  std::thread thread_;
};

// Ends what runs of the groups recorded in the data folder, whose lock the caller holds; their epochs stay
// recorded. For a coordinator that is gone and can't come back. FailedPrecondition: what else is recorded may
// run, and can't be proven to be its.
absl::Status EndRecordedGroups(const std::string& data_dir);

}  // namespace quire::coordinator
