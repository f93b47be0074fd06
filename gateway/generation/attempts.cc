#include "gateway/generation/attempts.h"

#include <algorithm>

namespace quire::gateway {

void Attempts::Accepted() {
  backoffs_ = 0;
  searching_since_us_.reset();
}

bool Attempts::Failed(int64_t awake_us) {
  Search(awake_us);
  return ++failed_ < kMaxFailed;
}

int64_t Attempts::Backoff(int64_t awake_us) {
  Search(awake_us);
  const int64_t whole_us = std::min(kLastBackoffUs, kFirstBackoffUs << std::min(backoffs_++, 20));
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
  return whole_us / 2 + static_cast<int64_t>((random_ >> 33) % static_cast<uint64_t>(whole_us / 2));
}

int64_t Attempts::TimeLeftUs(int64_t awake_us) const {
  if (!searching_since_us_) return patience_us_;
  return std::max<int64_t>(0, *searching_since_us_ + patience_us_ - awake_us);
}

void Attempts::Search(int64_t awake_us) {
  if (!searching_since_us_) searching_since_us_ = awake_us;
}

}  // namespace quire::gateway
