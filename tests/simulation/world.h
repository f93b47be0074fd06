// One simulated installation: two gateways, two workers, two coordinators over one disk, clients that come
// and go, an operator who changes keys, caps and prices, and faults of every kind, all from one seed. Run it
// to its end and read what the checker found. One thread.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "tests/simulation/checker.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/processes.h"

namespace quire::simulation {

// Real times divided by ten or so, so that every timeout is met often.
inline constexpr int64_t kStopAfterUs = 3 * kSecond;
inline constexpr int64_t kReapAfterUs = 12 * kSecond;
inline constexpr int64_t kReapPeriodUs = 500 * kMs;
inline constexpr int64_t kForgetAfterUs = 1 * kSecond;  // shorter than many a message is on its way

struct Outcome {
  std::optional<std::string> violation;
  uint64_t events = 0;
  uint64_t messages = 0;
  uint64_t messages_lost = 0;
  uint64_t faults = 0;
  uint64_t requests = 0;
  uint64_t entries = 0;
  uint64_t reaped = 0;
  uint64_t stopped = 0;
  uint64_t forgotten = 0;
};

class World {
 public:
  // With a path, the ledger's real SQLite file runs beside the model and is compared with it.
  explicit World(uint64_t seed, std::string sqlite_path = "");
  ~World();
  Outcome Run();

  // For the processes.
  Cluster cluster;
  coordinator::MemoryStore disk;
  Checker checker{&disk};

  static constexpr int kPairs = 2;
  int gateway_node(int i) const { return i; }
  int worker_node(int i) const { return kPairs + i; }
  int coordinator_node(int i) const { return 2 * kPairs + i; }
  SimGateway* gateway(int i) { return gateways_[i].get(); }
  SimWorker* worker(int i) { return workers_[i].get(); }
  SimCoordinator* coordinator(int i) { return coordinators_[i].get(); }
  bool calm() const { return calm_; }
  const std::string& sqlite_path() const { return sqlite_path_; }

 private:
  bool Works(int node) const { return cluster.IsUp(node) && !cluster.IsPaused(node); }
  void SetUpBooks();
  void ScheduleClients();
  void ScheduleOperator();
  void ScheduleFaults();
  void OpenOne();
  void OperateOnce();
  void Credit(coordinator::Ledger& ledger);
  void Reverse(coordinator::Ledger& ledger);
  void FaultOnce();
  void Elect();
  void CutSomething();
  void KillNode(int node);
  void StartNode(int node);
  bool Settled() const;

  void FillDisk();

  const std::string sqlite_path_;
  bool calm_ = false;
  uint64_t faults_ = 0;
  uint64_t requests_ = 0;
  uint64_t next_id_ = 0;
  std::array<std::unique_ptr<SimGateway>, kPairs> gateways_;
  std::array<std::unique_ptr<SimWorker>, kPairs> workers_;
  std::array<std::unique_ptr<SimCoordinator>, kPairs> coordinators_;
};

}  // namespace quire::simulation
