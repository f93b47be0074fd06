// A driver's calls to the coordinator, held until the simulation answers them, in any order. held_calls.cc
// stands in for gateway/rpc/coordinator_client.cc in programs that are linked with it instead: so the
// driver's calls come here instead of to gRPC. Hold is for any thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/core/mutex.h"
#include "tests/simulation/faulty_books.h"

namespace grpc {
class Channel;
}

namespace quire::simulation {

class HeldCalls {
 public:
  // Asks the books, and gives their answer to the caller: on this thread.
  using Call = std::function<void(FaultyBooks&)>;

  void Hold(Call call) ABSL_LOCKS_EXCLUDED(mutex_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool AwaitAny(absl::Duration limit) const ABSL_LOCKS_EXCLUDED(mutex_);
  Call Take(size_t index) ABSL_LOCKS_EXCLUDED(mutex_);

  // What a driver takes for its channel: these calls under another name.
  static std::shared_ptr<grpc::Channel> Channel(const std::shared_ptr<HeldCalls>& calls);

 private:
  bool Any() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !calls_.empty(); }

  mutable Mutex mutex_;
  std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::simulation
