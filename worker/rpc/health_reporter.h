// The standard gRPC health service of a group: "" and "quire.v1.Inference" are SERVING until the group is
// lost, a rank left it, or it drains. Asks every 250 ms, as often as the ranks beat, and calls `beat` every
// second, for whoever waits for a sign of life. Owned by GroupServer; its thread is its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <thread>

#include "base/core/mutex.h"

namespace quire::worker {

class HealthReporter {
 public:
  // `server` outlives the reporter; `healthy` and `beat` are called on the reporter's thread.
  HealthReporter(grpc::Server* server, std::function<bool()> healthy, std::function<void()> beat);
  ~HealthReporter();

 private:
  void Run();
  void Report(bool serving);

  grpc::Server* const server_;
  const std::function<bool()> healthy_;
  const std::function<void()> beat_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quire::worker
