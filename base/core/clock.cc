#include "base/core/clock.h"

#include <ctime>

namespace quire {
namespace {

int64_t ReadUs(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace

int64_t SystemClock::NowUs() const { return ReadUs(CLOCK_BOOTTIME); }
int64_t SystemClock::UnixMs() const { return ReadUs(CLOCK_REALTIME) / 1000; }

}  // namespace quire
