// How long a request looks for a group that goes on with it: counts the attempts that failed, spaces the
// asking where groups are busy, and knows when patience ends. Pure; now injected (AwakeTime: who slept has
// not looked); one per request, one thread. Always: a request whose attempts fail ends at the kMaxFailed-th;
// being refused for want of room is no failure, but ends with `patience_us` without a group; an attempt that
// a group takes on begins both anew but for the count of failures.
#pragma once

#include <cstdint>
#include <optional>

namespace quire::gateway {

class Attempts {
 public:
  static constexpr int kMaxFailed = 3;
  static constexpr int64_t kFirstBackoffUs = 50'000, kLastBackoffUs = 2'000'000;

  // `random`: any number, which spreads the requests that ask at the same time.
  Attempts(int64_t patience_us, uint64_t random) : patience_us_(patience_us), random_(random) {}

  // A group has taken the request on.
  void Accepted();
  // An attempt failed. False: it was the last one.
  bool Failed(int64_t awake_us);
  // The request has no group, and nobody is to blame: how long to wait before the next asking.
  int64_t Backoff(int64_t awake_us);
  // Of the patience. All of it while a group has the request.
  int64_t TimeLeftUs(int64_t awake_us) const;

 private:
  void Search(int64_t awake_us);

  const int64_t patience_us_;
  uint64_t random_;
  int failed_ = 0;
  int backoffs_ = 0;                           // since a group last had the request
  std::optional<int64_t> searching_since_us_;  // none while a group has it
};

}  // namespace quire::gateway
