// A worker group's face to the world, over any ModelRunner: engine, Inference, health and the link to the
// coordinator, put together. Runs in rank 0, and in the mock group. Owned by the composition root. Lose and
// Drain may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "base/net/grpc.h"
#include "worker/engine/engine.h"
#include "worker/rpc/coordinator_link.h"
#include "worker/rpc/health_reporter.h"
#include "worker/rpc/inference_service.h"
#include "worker/rpc/served_model.h"

namespace quire::worker {

struct GroupServerOptions {
  GrpcServerOptions listen;
  std::string advertise_host;  // by which gateways reach it; empty: the one it listens on
  int advertise_port = 0;      // likewise
  std::string coordinator;     // host:port; empty = serve without one
  std::string owner_lock;      // see CoordinatorLinkOptions
  std::string worker_secret;   // shown to it where there is no TLS; empty: nothing is shown
  ServedModel model;
  GroupIdentity identity;
  TextBundle bundle;
  EngineOptions engine;                                       // its contexts are the model's
  std::shared_ptr<const GrammarCompiler> grammars = nullptr;  // null: grammars are refused
  CompileLimits compile = {};                                 // of them
  std::function<bool()> healthy;                              // nobody lost the group or left it; any thread
  std::function<void(absl::Status)> on_lost;  // the group can't go on; once the sessions are failed
  std::function<void()> on_drain;  // the coordinator asks for a deliberate end; may come repeatedly
  // For sessions to end after they were told to: of the fleet driver's kLastWordsMs.
  std::chrono::milliseconds close_limit{2000};
};

class GroupServer {
 public:
  // Serves when it returns. Runner, metrics and clock outlive the server.
  static absl::StatusOr<std::unique_ptr<GroupServer>> Start(GroupServerOptions options, ModelRunner* runner,
                                                            Metrics* metrics, const Clock* clock);
  ~GroupServer();

  int port() const { return grpc_.port; }
  EngineLoad load() const { return engine_.load(); }
  // False if requests are still inside after `timeout`.
  bool AwaitIdle(absl::Duration timeout) { return engine_.AwaitIdle(timeout); }
  // The group is lost: NOT_SERVING, and every session ends with Unavailable at once.
  void Lose(const absl::Status& why);
  // Ends the server once its sessions have ended, which they are told to: within half a second where the
  // group is lost, within close_limit where not. Not by two threads.
  void Close();
  // A deliberate end: tells the coordinator at once, admits nothing more, lets what runs end within `limit`
  // and ends the rest with Aborted, to go on elsewhere. True if all ended by itself.
  bool Drain(absl::Duration limit);

 private:
  GroupServer(const GroupServerOptions& options, ModelRunner* runner, Metrics* metrics, const Clock* clock);
  absl::Status Serve(GroupServerOptions options, const Clock* clock);
  v1::HeartbeatRequest Beat(const GroupIdentity& identity) const;

  bool closed_ = false;
  bool Lives() const { return !lost_ && ranks_healthy_(); }

  const std::function<bool()> ranks_healthy_;
  const std::chrono::milliseconds close_limit_;
  std::atomic<bool> lost_{false}, draining_{false};
  Engine engine_;
  InferenceService service_;
  GrpcServer grpc_;
  std::unique_ptr<HealthReporter> health_;
  std::unique_ptr<CoordinatorLink> link_;
};

}  // namespace quire::worker
