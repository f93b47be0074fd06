// Keeps Facts up to date: a thread that holds one Watch stream open and opens it again 100 ms after it ended.
// Owned by gateway.cc; `on_models` comes on gRPC threads, one at a time. The destructor ends the stream and
// waits for the last callback.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/budgets.h"
#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "gateway/rpc/coordinator_client.h"
#include "gateway/rpc/facts.h"

namespace quire::gateway {

class Watcher {
 public:
  static constexpr BudgetLimits kOutageLines{.burst = 5, .every_us = 60'000'000};

  // `on_models` runs after every change of the models that readers see, the first full state included.
  Watcher(std::shared_ptr<grpc::Channel> coordinator, std::string gateway_id, Facts& facts,
          const Clock& clock, std::function<void()> on_models);
  ~Watcher();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEvent(const v1::WatchEvent& event);
  void OnEnd(const absl::Status& end) ABSL_LOCKS_EXCLUDED(mutex_);
  // One line where an outage begins or turns into another one, of a budget: a Watch may break each time right
  // after it was answered. One where an outage that was told of ends.
  void Note(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string gateway_id_;
  Facts& facts_;
  const Clock& clock_;
  const std::function<void()> on_models_;
  Budgets outage_lines_{kOutageLines};
  Mutex mutex_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::StatusCode told_ ABSL_GUARDED_BY(mutex_) = absl::StatusCode::kOk;
  std::unique_ptr<RpcCall> stream_ ABSL_GUARDED_BY(mutex_);
  CoordinatorClient client_;  // after what its callbacks use: its destructor waits for them
  std::thread thread_;        // last: it uses the rest
};

}  // namespace quire::gateway
