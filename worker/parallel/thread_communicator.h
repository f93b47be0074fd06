// Ranks as threads of one process: the rendezvous and the communicator of tests and of the golden runs.
// ThreadGroup owns what the ranks share and outlives them; each rank's thread uses its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/mutex.h"
#include "kernels/communicator.h"
#include "kernels/rendezvous.h"

namespace quire::worker {

class ThreadGroup {
 public:
  explicit ThreadGroup(int size) : size_(size), tensors_(size), sent_(size), records_(size) {}
  std::unique_ptr<kernels::Communicator> MakeCommunicator(int rank);
  std::unique_ptr<kernels::Rendezvous> MakeRendezvous(int rank);
  // A rank that comes no more: the waits of all others end with Unavailable, for good. Any thread.
  void Fail() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class ThreadCommunicator;
  friend class ThreadRendezvous;
  // Returns once all ranks called it, or a rank failed.
  absl::Status Barrier() ABSL_LOCKS_EXCLUDED(mutex_);

  const int size_;
  std::vector<kernels::Tensor> tensors_;  // written by its rank before a barrier, read by others after it
  std::vector<const kernels::ByteSpans*> sent_;  // the same
  std::vector<std::string> records_;             // the same
  Mutex mutex_;
  int arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t round_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::worker
