// The thread between the engine and who tells the world: takes over the updates of each step at once (a lock
// and a wake, however many there are) and hands them on in their order, so that no wire is written on the
// engine's thread. Owned by the engine, whose thread posts. Always: what was posted is handed on, each batch
// once; at most kMaxWaiting batches wait, past which the engine does.
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/mutex.h"
#include "worker/engine/generation_request.h"

namespace quire::worker {

class Emitter {
 public:
  static constexpr size_t kMaxWaiting = 64;

  explicit Emitter(UpdateSink sink);
  ~Emitter();  // Stop

  void Post(std::vector<Update> updates) ABSL_LOCKS_EXCLUDED(mutex_);
  // Hands on what was posted and joins the thread. Nothing is posted afterwards.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return waiting_.size() < kMaxWaiting; }

  const UpdateSink sink_;
  Mutex mutex_;
  std::vector<std::vector<Update>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace quire::worker
