// Reads a checkpoint ahead of who packs it, so that the disk is busy all the time: asks the kernel for a
// rank's own pieces (ReadList), for those of the matrix or vector that is loaded next and for a window beyond
// it, and for no more. On a thread of its own: asking waits where the disk's queue is full. Advice only; what
// is loaded is the same without it. Owned by who loads, whose thread alone calls it.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>

#include "base/core/mutex.h"
#include "worker/model/read_list.h"

namespace quire::worker {

class ReadAhead {
 public:
  using Bytes = ReadList::Bytes;
  using Advise = std::function<void(Bytes)>;

  // `advise` is called for each piece of `list` when its turn comes, once, on this object's thread.
  ReadAhead(ReadList list, int64_t window_bytes, Advise advise);
  // Whatever has not been asked for yet never is.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // That so many matrices and vectors of the plan are loaded, in its order; 0, before the first. Returns when
  // all of the next one has been asked for: nothing of it is then read in another order, or with what lies
  // beside it, because it was touched first.
  void OnLoaded(int64_t items) ABSL_LOCKS_EXCLUDED(mutex_);

  // Of the first so many: ReadList::own_bytes.
  int64_t own_bytes(int64_t items) const { return list_.own_bytes(items); }

  // The kernel's own: asks for a piece's pages, and need not wait until they are there.
  static void AdviseKernel(Bytes bytes);

 private:
  void Run();
  // Waits for the next piece's turn. None when all are asked for, or nobody wants them any more.
  std::optional<Bytes> NextPiece() ABSL_LOCKS_EXCLUDED(mutex_);
  bool MayGoOn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || asked_ < limit_ || asked_ == total_;
  }
  bool NextIsAsked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return asked_ >= next_end_; }

  ReadList list_;  // its pieces are the thread's
  const int64_t window_bytes_, total_;
  const Advise advise_;
  Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Bytes of the list's pieces: those asked for, those up to the end of what is loaded next, and where to
  // stop.
  int64_t asked_ ABSL_GUARDED_BY(mutex_) = 0, next_end_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t limit_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace quire::worker
