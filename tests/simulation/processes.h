// The simulated processes around the real classes: a coordinator around Ledger, a gateway around Accountant
// with streams and clients that stand in for generation, and a worker that makes tokens. Each object is one
// incarnation: a kill destroys it, a start makes another. Owned by World; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/memory_store.h"
#include "coordinator/ledger/sqlite_store.h"
#include "gateway/accounting/accountant.h"
#include "tests/simulation/checker.h"
#include "tests/simulation/cluster.h"

namespace quire::simulation {

class World;

// ---- coordinator ----

// The shared disk as one coordinator sees it: every commit passes the checker. With SQLite, each coordinator
// has a connection of its own to one file, whose every answer must be the model's.
class WatchedStore final : public coordinator::LedgerStore {
 public:
  explicit WatchedStore(World* world);
  absl::StatusOr<uint64_t> TakeOver() override;
  absl::StatusOr<coordinator::LedgerState> Load() override;
  absl::StatusOr<std::optional<coordinator::StoredRequest>> Find(const RequestId& id) override;
  absl::StatusOr<std::optional<coordinator::EntryRow>> FindEntry(const RequestId& id) override;
  absl::Status Commit(const coordinator::LedgerBatch& batch) override;

 private:
  void RequireSame(const char* what, const absl::Status& sqlite, const absl::Status& model);

  World* const world_;
  std::unique_ptr<coordinator::SqliteStore> sqlite_;  // null: the model alone
};

struct Placement {
  int worker = 0;
  uint64_t epoch = 0;  // the incarnation that is meant
};

class SimCoordinator {
 public:
  SimCoordinator(World* world, int node);

  // Raises the term and leads, whoever led before.
  void TakeOver();
  bool leads() const { return ledger_ != nullptr; }
  // Posts an operation, applied now, committed soon. Null while it does not lead.
  coordinator::Ledger* Post();

  // Calls of gateways; each answers at most once per argument, errors as nothing (the gateway's timeout shows
  // them).
  void Admit(const v1::AdmitRequest& request, std::function<void(Placement)> place,
             std::function<void(v1::AdmitReply)> answer);
  void Progress(const v1::ProgressRequest& request, std::function<void(v1::ProgressReply)> answer);
  void Settle(const v1::SettleRequest& request, std::function<void(v1::SettleReply)> answer);
  void Readmit(std::function<void(Placement)> place);

 private:
  Placement Pick();
  void Commit();
  void Reap();

  World* const world_;
  const int node_;
  WatchedStore store_;
  std::unique_ptr<coordinator::Ledger> ledger_;
  bool commit_scheduled_ = false;
};

// ---- worker ----

struct GenerateCall {
  RequestId id;
  uint32_t attempt = 0;
  uint64_t epoch = 0;            // of the placement
  std::vector<uint64_t> next;    // by choice: the first position to make
  std::vector<uint64_t> length;  // by choice: where the end-of-sequence token stands
  uint64_t cached_tokens = 0;
};

struct Token {
  RequestId id;
  uint32_t attempt = 0;
  uint32_t choice = 0;
  uint64_t position = 0;
  uint64_t cached_tokens = 0;
};

class SimWorker {
 public:
  SimWorker(World* world, int node) : world_(world), node_(node) {}
  // Streams tokens to `gateway` until done, cancelled or cut. Another incarnation's request is refused.
  void Generate(GenerateCall call, int gateway, uint64_t gateway_incarnation);
  void Cancel(const RequestId& id, uint32_t attempt) { streams_.erase({id, attempt}); }

 private:
  struct Stream {
    GenerateCall call;
    int gateway = 0;
    uint64_t gateway_incarnation = 0;
    int64_t connection_us = 0;
  };
  void Tick(const RequestId& id, uint32_t attempt);

  World* const world_;
  const int node_;
  std::map<std::pair<RequestId, uint32_t>, Stream> streams_;
};

// ---- gateway ----

struct ClientRequest {
  std::string key_id;
  uint64_t prompt_tokens = 0;
  uint64_t max_tokens = 0;
  std::vector<uint64_t> length;  // by choice
  bool streamed = true;
  int64_t leaves_after_us = INT64_MAX;
};

class SimGateway {
 public:
  SimGateway(World* world, int node);

  void Open(const RequestId& id, const ClientRequest& request);
  void OnToken(const Token& token);
  bool Drained() const;
  // The process dies: tells the checker which requests lose their gateway.
  void Die();

 private:
  struct Stream {
    ClientRequest client;
    int64_t opened_us = 0;
    bool granted = false;
    bool generating = false;
    uint32_t attempt = 0;
    int worker = 0;
    std::vector<uint64_t> accepted;   // by choice
    std::vector<uint64_t> delivered;  // by choice
    uint64_t cached_tokens = 0;       // as the attempt said whose token came first
    int64_t heard_us = 0;             // of a worker
  };
  int64_t Now() const;
  // The call reaches the coordinator this gateway believes in.
  void Call(std::function<void(SimCoordinator&)> call);
  // An answer that comes back to this incarnation.
  template <typename T>
  std::function<void(T)> Answer(int from, std::function<void(T)> handle);

  void Admit(const RequestId& id);
  void OnAdmit(const gateway::AdmitCall& call, const v1::AdmitReply& reply);
  void Place(const RequestId& id, Placement placement);
  void Readmit(const RequestId& id);
  void Watch(const RequestId& id);
  void Write(const RequestId& id);
  void WriteStreamed(const RequestId& id, Stream& stream, uint64_t positions);
  void WriteWhole(const RequestId& id, Stream& stream, uint64_t positions);
  void Deliver(const RequestId& id, Stream& stream, uint32_t choice, uint64_t positions);
  void End(const RequestId& id, v1::SettleReason reason);

  void Arm();
  void Drive();

  World* const world_;
  const int node_;
  int believed_ = 0;         // the coordinator it calls
  int64_t answered_us_ = 0;  // when one last answered a Progress or a Settle
  std::map<RequestId, Stream> streams_;
  std::set<RequestId> mine_;  // every request this incarnation ever opened
  int64_t armed_us_ = INT64_MAX;
  gateway::Accountant accountant_;
};

}  // namespace quire::simulation
