// The engine's door: where other threads leave requests and cancellations, and where the engine thread sleeps
// while there is nothing to do. Bounded by the number of choices that are inside the engine at once (waiting
// or running), a request counting as one at least: past it Submit answers ResourceExhausted, which asks the
// gateway to try another group. A place is given back when its choice ends, not with its request. A
// cancellation always has room, since each belongs to a request that has.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/core/mutex.h"
#include "worker/engine/generation_request.h"

namespace quire::worker {

struct Submission {
  uint64_t ticket = 0;
  std::shared_ptr<const SharedRequest> request;
  ReplyTo to;
};

struct Cancellation {
  uint64_t ticket = 0;
  uint64_t step = 0;                              // steps begun when it came
  std::optional<uint32_t> choice = std::nullopt;  // this one alone
};

struct Mail {
  std::vector<Submission> submissions;
  std::vector<Cancellation> cancellations;  // of these or earlier submissions
  absl::Status stop;                        // not OK: end everything for this reason
};

class Mailbox {
 public:
  explicit Mailbox(int64_t max_choices) : max_choices_(max_choices) {}

  // Any thread. The ticket names the request from now on; updates may come before this returns.
  // InvalidArgument: its choices would find no room even if they were alone.
  absl::StatusOr<uint64_t> Submit(std::shared_ptr<const SharedRequest> request, ReplyTo to)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // `steps` is read under the lock: a caller that is stalled before it must not count as late.
  void Cancel(uint64_t ticket, const std::atomic<uint64_t>& steps,
              std::optional<uint32_t> choice = std::nullopt) ABSL_LOCKS_EXCLUDED(mutex_);
  // Submit answers `why` from now on; what is inside goes on.
  void Refuse(absl::Status why) ABSL_LOCKS_EXCLUDED(mutex_);
  // Refuses, and tells the engine to end everything for this reason.
  void Stop(absl::Status why) ABSL_LOCKS_EXCLUDED(mutex_);
  // False if requests are still inside after `timeout`.
  bool AwaitEmpty(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // Engine thread. Everything that came since; `wait` sleeps until there is something.
  Mail Take(bool wait) ABSL_LOCKS_EXCLUDED(mutex_);
  void ChoiceEnded(uint64_t ticket) ABSL_LOCKS_EXCLUDED(mutex_);
  // The request has, with all its choices.
  void Ended(uint64_t ticket) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool HasMail() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t max_choices_;
  Mutex mutex_;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<uint64_t, int64_t> live_ ABSL_GUARDED_BY(mutex_);  // the choices inside, by ticket
  int64_t places_taken_ ABSL_GUARDED_BY(mutex_) = 0;                     // by all of these
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  Mail mail_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::worker
