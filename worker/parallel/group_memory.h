// The memory that the ranks of a group share: a control part of fixed size (who is there, words to wait on,
// records), which every rank maps first, and the buffers, once the ranks know that they agree on their sizes.
// A lock on the file for each rank says that its process lives. Every byte is reserved before it is touched:
// a full /dev/shm is an error at the start that says what to do, never a SIGBUS in a step. Each rank's
// ShmLiveness owns one. Fresh memory is zero, which is every field's valid beginning, so no rank has to be
// first.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/fd.h"
#include "base/core/mutex.h"
#include "kernels/rendezvous.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/phase_log.h"
#include "worker/parallel/rank_group.h"
#include "worker/parallel/shared_word.h"
#include "worker/parallel/timed_mark.h"

namespace quire::worker {

inline constexpr int64_t kMaxRecordBytes = kernels::Rendezvous::kMaxRecordBytes;

struct alignas(64) RankSlot {
  SharedWord joined, gathered, exchange, ack;
  std::atomic<uint64_t> beats;
  TimedMark timed;  // the step or wait that is watched
  std::atomic<uint32_t> taken, left, drain_asked;
  alignas(64) PhaseLog phases;
  int64_t record_bytes;
  char record[kMaxRecordBytes];
};

struct GroupControl {
  std::atomic<uint64_t> layout;  // of this struct: ranks of another build would read it wrongly
  std::atomic<int32_t> size;     // of the group
  SharedWord plan;
  std::atomic<uint32_t> reason_state;  // 0 none, 1 being written, 2 written
  char reason[kMaxRecordBytes];        // why the group is lost; ends with a zero
  RankSlot slots[kMaxRanks];
};

// The memory's name below /dev/shm, which outlives the process that makes it. Whoever ends the process while
// another of its threads may be making it gives the name up. Any thread.
class GroupName {
 public:
  explicit GroupName(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  // The first to come makes it. Cancelled: this process has given the name up.
  absl::StatusOr<Fd> Open() ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove() const;
  // Removes it, and this process makes it no more.
  void GiveUp() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::string text_;
  Mutex mutex_;
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
};

class GroupMemory {
 public:
  // Maps the control part. ResourceExhausted: no room. PermissionDenied: it is another user's, or open to
  // others.
  static absl::StatusOr<std::unique_ptr<GroupMemory>> Open(std::shared_ptr<GroupName> name);
  ~GroupMemory();
  GroupMemory(const GroupMemory&) = delete;
  GroupMemory& operator=(const GroupMemory&) = delete;

  // What MapBuffers reserves.
  static int64_t BytesFor(const BufferSizes& sizes, int ranks);
  GroupControl& control() const { return *control_; }
  const std::string& name() const { return name_->text(); }
  // Reserves and maps the buffers of `ranks` ranks; all ranks ask for the same.
  absl::Status MapBuffers(const BufferSizes& sizes, int ranks);
  // After MapBuffers. One rank's half (parity 0 or 1), and the plan's.
  std::span<float> exchange(int rank, uint32_t parity) const {
    auto* begin = reinterpret_cast<float*>(buffers_ + (2 * rank + parity) * half_bytes_);
    return {begin, static_cast<size_t>(sizes_.exchange_bytes) / sizeof(float)};
  }
  std::span<uint8_t> plan() const {
    return {buffers_ + buffer_bytes_ - plan_bytes_, static_cast<size_t>(sizes_.plan_bytes)};
  }
  // Takes rank's place for as long as this process lives: the kernel gives it up with the process, however
  // that ends. AlreadyExists: another has it.
  absl::Status HoldPlace(int rank) const;
  // Whether somebody other than this object has it.
  bool PlaceHeld(int rank) const;
  // Once every rank has opened it, nothing is left behind however the processes end.
  void Unlink() const { name_->Remove(); }

 private:
  GroupMemory(std::shared_ptr<GroupName> name, Fd fd) : name_(std::move(name)), fd_(std::move(fd)) {}
  absl::Status CheckOwner() const;
  absl::Status Reserve(int64_t offset, int64_t bytes) const;
  absl::StatusOr<uint8_t*> Map(int64_t offset, int64_t bytes) const;

  const std::shared_ptr<GroupName> name_;
  const Fd fd_;
  GroupControl* control_ = nullptr;
  uint8_t* buffers_ = nullptr;
  BufferSizes sizes_;
  int64_t half_bytes_ = 0, plan_bytes_ = 0, buffer_bytes_ = 0;  // in whole pages
};

}  // namespace quire::worker
