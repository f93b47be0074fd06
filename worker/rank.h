// One rank of a group as a process: what it finds and agrees on before it is loaded (rank_load.cc), then
// serving, as rank 0, or following it (rank.cc). Made once, by RunWorker, on the main thread; OnLost comes on
// any. Always: whoever loses the group ends the process, whatever its engine's thread is doing.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "kernels/backend_factory.h"
#include "worker/advertised_address.h"
#include "worker/host_plan.h"
#include "worker/join_group.h"
#include "worker/model/checkpoint.h"
#include "worker/model/transformer_runner.h"
#include "worker/ops_endpoint.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/rpc/group_server.h"
#include "worker/worker_config.h"

namespace quire::worker {

class Rank {
 public:
  explicit Rank(const WorkerConfig& config) : config_(config) {}
  ~Rank() {
    MutexLock lock(&end_mutex_);
    stopped_with_group_ = nullptr;  // the device goes before the group's beats end
  }
  // What can be said of the model before its weights are loaded: config, text files, shard, memory, weight
  // files.
  absl::Status CheckModel();
  // After CheckModel with --check.
  const HostPlan& host() const { return host_; }
  // Everything up to the point where all ranks of the group are loaded.
  absl::Status Load();
  // Until the end of the process; its exit code.
  absl::StatusOr<int> Serve();
  absl::StatusOr<int> Follow();

 private:
  // The group's, below /dev/shm.
  std::string ShmName() const;
  absl::Status FindDevice();
  absl::Status CheckNumbers() const;
  absl::Status PlanMemory();
  absl::Status JoinRanks();
  absl::Status OpenDevice();
  absl::Status LoadModel();
  // That all ranks computed, or loaded, what they must have in common.
  absl::Status AgreeOnKvBlocks();
  absl::Status AgreeOnLoaded(int64_t load_us);
  StepDeadlineOptions StepLimits() const;
  GroupServerOptions ServerOptions();
  // Called when the group is lost, by whichever rank's fault; any thread.
  void OnLost() ABSL_LOCKS_EXCLUDED(end_mutex_);
  // Fails what is open and ends the process: the engine thread may hang in a step, so nothing of it is waited
  // for.
  [[noreturn]] void EndLost(GroupServer& server) ABSL_EXCLUSIVE_LOCKS_REQUIRED(end_mutex_);
  // Ends what waits for other ranks on the device, which would else outlive this process for a while.
  void StopDevice() ABSL_LOCKS_EXCLUDED(end_mutex_);
  void SetDraining(GroupServer* server) ABSL_LOCKS_EXCLUDED(end_mutex_);

  WorkerConfig
      config_;     // as given, but for the numbers that are left to us: threads, ranks and groups of a check
  HostPlan host_;  // of a check
  SystemClock clock_;
  Metrics metrics_;
  std::atomic<bool> serving_{false};
  Mutex end_mutex_;
  GroupServer* draining_ ABSL_GUARDED_BY(end_mutex_) = nullptr;  // while it does
  kernels::Communicator* stopped_with_group_ ABSL_GUARDED_BY(end_mutex_) = nullptr;
  std::unique_ptr<OpsEndpoint> ops_;
  AdvertisedAddress advertised_;
  std::string worker_secret_;
  TextBundle bundle_;
  Checkpoint checkpoint_;  // its weights are mapped until they are loaded
  int64_t tokenizer_size_ = 0;
  RankRecord agreement_;                   // what this rank loads and with which limits
  std::vector<std::string> rank_metrics_;  // host:port of each
  int32_t kv_blocks_ = 0;
  bool steps_ahead_ = false;
  std::shared_ptr<GroupName> shm_;
  RankGroup group_;
  kernels::DeviceChoice choice_;
  kernels::Device device_;
  std::unique_ptr<TransformerRunner> runner_;
};

}  // namespace quire::worker
