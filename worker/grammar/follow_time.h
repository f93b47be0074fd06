// How long a choice's grammar may hold up the engine's thread: so much for each token, and so much in all.
// Owned by a GrammarState; its thread. What always holds: what a cheap beginning has left for later is no
// longer than one call may take.
#pragma once

#include <cstdint>

namespace quire::worker {

class FollowTime {
 public:
  static constexpr int64_t kTokenUs = 1'000, kFreeUs = 200'000, kCallUs = 200'000;
  // Of a trial: less, or what is slow from its beginning on passed.
  static constexpr int64_t kTrialFreeUs = 50'000;

  explicit FollowTime(int64_t free_us) : free_us_(free_us) {}

  void NextToken() { ++tokens_; }
  // False where it has taken too long.
  bool Spend(int64_t call_us) {
    spent_us_ += call_us;
    return call_us <= kCallUs && spent_us_ <= free_us_ + tokens_ * kTokenUs;
  }
  int64_t spent_us() const { return spent_us_; }

 private:
  const int64_t free_us_;
  int64_t spent_us_ = 0, tokens_ = 0;
};

}  // namespace quire::worker
