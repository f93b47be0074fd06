// The requests that are not admitted yet: they cost memory and time that nobody has paid for, so each key may
// have only so many of them, and all their bodies together may hold only so many bytes (one account a part of
// that, however many keys it makes). A request enters before its body is read, holds what has come of it, and
// leaves when its Admit is answered: granted or refused. One for the gateway; any thread. Always: what was
// entered leaves, on every path.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {

struct IntakeLimits {
  int requests_per_key = 512;  // as many as the coordinator lets one account have in its queue
  size_t bytes = size_t{512} << 20;
};

class Intake {
 public:
  explicit Intake(IntakeLimits limits) : limits_(limits) {}

  // One request inside, for one thread; leaves when it is destroyed (on any). Outlived by its Intake.
  class Visit {
   public:
    Visit(Intake& intake, std::string key_id, std::string account_id)
        : intake_(intake), key_id_(std::move(key_id)), account_id_(std::move(account_id)) {}
    ~Visit() { intake_.Leave(*this); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    // The body may hold so much, whatever was said before. The error (then nothing has changed) says whose
    // bound is reached: 429 the account's own, 503 all's.
    std::optional<http::ApiError> Resize(size_t bytes);
    size_t bytes() const { return bytes_; }

   private:
    friend class Intake;

    Intake& intake_;
    const std::string key_id_, account_id_;
    size_t bytes_ = 0;
  };

  // It holds nothing yet. The error: the key has too many inside.
  ApiResult<std::shared_ptr<Visit>> Enter(const std::string& key_id, const std::string& account_id)
      ABSL_LOCKS_EXCLUDED(mutex_);

  size_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A visit of the account holds `now` bytes instead of `before`, or the error says why not; less is always
  // allowed.
  std::optional<http::ApiError> Hold(const std::string& account_id, size_t before, size_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Leave(const Visit& visit) ABSL_LOCKS_EXCLUDED(mutex_);

  const IntakeLimits limits_;
  mutable Mutex mutex_;
  // Of those that have any.
  absl::flat_hash_map<std::string, int> requests_by_key_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> bytes_by_account_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::gateway
