// DATA/epochs.json: the highest epoch of every group that ever registered here, whoever started it, so that a
// coordinator's restart opens no door to an incarnation that was replaced. Written before the group is made
// known. A group of which nothing was heard for kForgetAfterMs, by the clock and while others were, is
// forgotten at the next start. A clock that is behind forgets nobody, nor one that is ahead at one start; if
// it is ahead at a second one too, with a group's word between them, that word counts. Owned by
// coordinator.cc; any thread. Nobody but Raise waits for the disk.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/files.h"
#include "base/core/mutex.h"

namespace quire::coordinator {

class EpochFile {
 public:
  static constexpr int64_t kForgetAfterMs = int64_t{30} * 24 * 3600 * 1000;

  explicit EpochFile(std::string path, FileWriter write = WriteFileAtomically)
      : path_(std::move(path)), write_(std::move(write)) {}

  // An absent file is an empty one. FailedPrecondition: it is there and can't be read as one.
  absl::Status Load(int64_t unix_ms) ABSL_LOCKS_EXCLUDED(mutex_);
  // The group is there with this epoch. FailedPrecondition: there was a higher one. The epoch is durable when
  // it returns; writes only if that is new or the last word of the group is a day old, and for the latter
  // alone it never fails.
  absl::Status Raise(const std::string& group_id, uint64_t epoch, int64_t unix_ms)
      ABSL_LOCKS_EXCLUDED(save_mutex_, mutex_);
  // Raise would write nothing.
  bool IsFresh(const std::string& group_id, uint64_t epoch, int64_t unix_ms) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::map<std::string, uint64_t> Epochs() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Known {
    uint64_t epoch = 0;
    int64_t heard_ms = 0;
  };
  absl::Status Save(const std::map<std::string, Known>& groups) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(save_mutex_);

  const std::string path_;
  const FileWriter write_;
  Mutex save_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // held while the file is synced; orders the writers
  mutable Mutex mutex_;                            // never
  std::map<std::string, Known> groups_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::coordinator
