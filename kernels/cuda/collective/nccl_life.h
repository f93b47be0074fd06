// One rank's NCCL communicator from its making to its end: no wait in it, or for it on a device, outlasts a
// limit or a Stop. The engine's thread makes it and runs calls; Stop and Check are any thread's. A thread of
// its own asks a few times a second whether an error came (a network's, say), and aborts it then, or when it
// is stopped, or at the end: an abort may wait for graphs that hold its calls, so it is destroyed after them.
//
// What NVIDIA's guide asks for (Thread Safety; Fault Tolerance; Nonblocking Group Operation): one thread at a
// time is in a communicator's calls, those of a group are all one thread's, and none is in any while
// ncclCommAbort begins: `calling_`. The communicator does not block, so calls return at once, and
// until ncclCommGetAsyncError, which any thread may ask, says no more ncclInProgress, nobody calls it again
// nor puts work on its stream: Run looks, there is nothing that would wake it. All ranks end by
// ncclCommAbort, which ends kernels that wait; what they leave is nonsense, which Check says afterwards.
// Before 2.19.1 an abort from another thread could hang, say NCCL's maintainers (issue 992), and up to 2.22 a
// group's launches block its caller: such a library is refused.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "kernels/cuda/collective/nccl_calls.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

class NcclLife {
 public:
  static constexpr int kOldestVersion = 22304;

  // Every rank calls it. Null on all of them, with `why` of one that can't. Ranks find one another within
  // limit_ms, and calls are taken by NCCL within as long.
  static absl::StatusOr<std::unique_ptr<NcclLife>> Join(NcclCalls calls, Rendezvous& rendezvous,
                                                        int64_t limit_ms, std::string& why);
  ~NcclLife();
  NcclLife(const NcclLife&) = delete;
  NcclLife& operator=(const NcclLife&) = delete;

  const NcclCalls& calls() const { return calls_; }
  // What `group` calls, as one group, which stands on the stream afterwards. It returns the first result that
  // NCCL did not take. Unavailable: it is lost, for good.
  absl::Status Run(absl::FunctionRef<int(void* comm)> group) ABSL_LOCKS_EXCLUDED(calling_);
  // Unavailable once it is lost, with NCCL's words where they are the reason.
  absl::Status Check() const ABSL_LOCKS_EXCLUDED(why_mutex_);
  // Called by the watching thread when an error came by itself, before the abort: what other ranks' kernels
  // are left with then is nonsense, so these ranks have to hear of it first. Before calls.
  void WhenLost(std::function<void(const absl::Status&)> tell) ABSL_LOCKS_EXCLUDED(why_mutex_);
  // Returns at once; within a second no kernel waits any more.
  void Stop();

 private:
  NcclLife(NcclCalls calls, int64_t limit_ms);
  absl::Status Init(int ranks, int rank, const std::string& id) ABSL_LOCKS_EXCLUDED(calling_);
  absl::Status AwaitReady(const char* what) ABSL_LOCKS_EXCLUDED(calling_);
  // Whether NCCL has taken what it was given.
  absl::StatusOr<bool> IsReady(const char* what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(calling_);
  absl::Status Refused(const char* what, int result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(calling_);
  absl::Status Lose(const std::string& why) ABSL_LOCKS_EXCLUDED(why_mutex_);
  void Watch() ABSL_LOCKS_EXCLUDED(calling_);
  void TellLost() ABSL_LOCKS_EXCLUDED(why_mutex_);

  const NcclCalls calls_;
  const int64_t limit_ms_;
  Mutex calling_;  // held in every call but the abort
  void* comm_ ABSL_GUARDED_BY(calling_) = nullptr;
  mutable Mutex why_mutex_;
  std::string why_ ABSL_GUARDED_BY(why_mutex_);
  std::function<void(const absl::Status&)> when_lost_ ABSL_GUARDED_BY(why_mutex_);
  Notification lost_;
  bool late_ = false;  // NCCL took longer than the limit: for the engine's thread
  std::thread watch_;
};

}  // namespace quire::kernels::cuda
