// How long the masks of all choices together may hold up the steps: on average so much each. Owned by the
// engine; its thread. What always holds: no more is saved up for later than kSavedUs.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quire::worker {

class MaskBudget {
 public:
  static constexpr int64_t kStepUs = 20'000, kSavedUs = 1'000'000;

  // Of one step. False where they take too long: then somebody must go.
  bool Spend(int64_t us) {
    left_us_ = std::min(kSavedUs, left_us_ + kStepUs - us);
    const bool enough = left_us_ >= 0;
    left_us_ = std::max<int64_t>(left_us_, 0);
    return enough;
  }

 private:
  int64_t left_us_ = kSavedUs;
};

}  // namespace quire::worker
