// A thread for what may take long and must not hold up who has others to serve (the admin server's I/O
// thread, gRPC's, the ledger's): reports, the fleet's mutex, files that a registering group needs. Jobs run
// one after the other, in order; a full queue refuses. Owned by AdminService and CoordinatorService; any
// thread posts. Always: what was taken is run, also by the destructor, which waits for it.
#pragma once

#include <cstddef>
#include <optional>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/core/bounded_queue.h"

namespace quire::coordinator {

class WorkThread {
 public:
  using Job = absl::AnyInvocable<void()>;  // throws nothing

  WorkThread()
      : thread_([this] {
          while (std::optional<Job> job = queue_.Pop()) (*job)();
        }) {}
  ~WorkThread() {
    queue_.Close();
    thread_.join();
  }

  // False: too many wait already.
  bool TryPost(Job job) { return queue_.TryPush(std::move(job)); }

 private:
  static constexpr size_t kMaxWaiting = 16;

  BoundedQueue<Job> queue_{kMaxWaiting};
  std::thread thread_;
};

}  // namespace quire::coordinator
