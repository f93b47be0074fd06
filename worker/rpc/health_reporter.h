// The standard gRPC health service of a group: "" and "quire.v1.Inference" are SERVING while all ranks beat
// and none is stuck in a step. Looks at the ranks' beats every 250 ms, as often as they come. Owned by
// GroupServer; its thread is its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <thread>

#include "base/core/mutex.h"

namespace quire::worker {

class HealthReporter {
 public:
  // `server` outlives the reporter; `healthy` is called on the reporter's thread.
  HealthReporter(grpc::Server* server, std::function<bool()> healthy);
  ~HealthReporter();

 private:
  void Run();
  void Report(bool serving);

  grpc::Server* const server_;
  const std::function<bool()> healthy_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quire::worker
