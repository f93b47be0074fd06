// The gateway's real LedgerDriver and Accountant step by step: its calls are held (held_calls.h), answered in
// any order by the real Ledger among faults, and time is the test's. A step is taken when the driver has done
// all that is due. So what never happens is known at once, without waiting for it: nobody is woken though
// everything was answered long ago. Planted bugs in the driver (driver_mutants) are found by it:
// QUIRE_PLANTED_BUG says that one must be (CMakeLists.txt). Seeds: base/core/test_seeds.h.
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "base/core/test_seeds.h"
#include "tests/simulation/driver_streams.h"
#include "tests/simulation/held_calls.h"

namespace quire::simulation {
namespace {

// In the simulation's microseconds, of which the driver naps real ones: few, so that a nap is nothing.
constexpr int64_t kEveryUs = 100, kStopAfterUs = 60 * kEveryUs;
constexpr int64_t kNeverUs = 3 * kStopAfterUs;           // what hasn't come by then never comes
constexpr int64_t kEndlessUs = 100 * kStopAfterUs;       // no run lasts so long
constexpr absl::Duration kSafetyNet = absl::Minutes(5);  // real time: only where a thread stands still

// Stands still until it is moved, and counts how often others than its owner have looked at it.
class WatchedClock final : public Clock {
 public:
  int64_t NowUs() const override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (std::this_thread::get_id() != owner_) ++looks_;
    return now_us_;
  }
  int64_t UnixMs() const override { return 0; }
  void MoveTo(int64_t us) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    now_us_ = std::max(now_us_, us);
  }
  bool AwaitLooks(int64_t looks) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    wanted_ = looks_ + looks;
    return mutex_.AwaitWithTimeout(absl::Condition(this, &WatchedClock::LookedAt), kSafetyNet);
  }

 private:
  bool LookedAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return looks_ >= wanted_; }

  const std::thread::id owner_ = std::this_thread::get_id();
  mutable Mutex mutex_;
  mutable int64_t looks_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t now_us_ ABSL_GUARDED_BY(mutex_) = 1;
};

gateway::AccountantOptions Options(bool goes_away) {
  gateway::AccountantOptions options;
  options.gateway_id = "simulated";
  options.progress_every_us = kEveryUs;
  options.progress_min_us = kEveryUs / 5;
  options.grant_ahead = 16;
  if (goes_away) options.stop_after_us = kStopAfterUs;
  // Every call ends, so none may be needed to be taken for lost.
  options.settles = {.per_message = 3,
                     .resend_us = kEveryUs / 5,
                     .max_resend_us = 2 * kEveryUs,
                     .lost_after_us = INT64_MAX / 2};
  return options;
}

class SteppedWorld {
 public:
  explicit SteppedWorld(uint64_t seed)
      : draw_(seed),
        goes_away_(draw_.Percent(30)),
        books_(seed + 1),
        streams_(driver_, clock_, [this](const v1::AdmitRequest& request) { return books_.Open(request); }),
        driver_(HeldCalls::Channel(calls_), clock_, Options(goes_away_)) {}

  // Nothing if all went well.
  std::string Run() {
    quiet_ = streams_.OpenQuiet(draw_);
    for (int i = 0; i < 12; ++i) streams_.Open(draw_);
    books_.SetAway(goes_away_);  // R5 ends what it does not finance
    while (!streams_.empty()) {
      if (!Step()) return "a stream waits, and nobody wakes it";
    }
    // The last one's end is not even answered.
    if (driver_.Drain(absl::Microseconds(1))) return "drained, but not all is settled";
    books_.SetAway(false);
    happened_us_ = clock_.NowUs();
    while (accountant().pending_settles() > 0) {
      if (!Step()) return "what ended is never settled";
    }
    return SettleTheLast();
  }

 private:
  gateway::Accountant& accountant() { return driver_.accountant(); }

  // False: it has been too long since something happened that somebody waits for.
  bool Step() {
    KeepAwake();
    // In six looks it has taken what is due and, wholly after this began, sent it: three make a round.
    if (!clock_.AwaitLooks(6)) return false;
    const size_t pending = accountant().pending_settles();
    if (streams_.WriteWoken()) {
      happened_us_ = clock_.NowUs();
    } else if (calls_->size() > 0 && draw_.Percent(80)) {
      calls_->Take(draw_.In(0, calls_->size() - 1))(books_);
      if (streams_.empty() && accountant().pending_settles() < pending) happened_us_ = clock_.NowUs();
    } else {
      const int64_t now_us = clock_.NowUs();
      clock_.MoveTo(std::clamp(accountant().NextDueUs(), now_us + 1, now_us + kEveryUs));
    }
    return clock_.NowUs() < std::min(happened_us_ + kNeverUs, kEndlessUs);
  }

  // The driver naps until something is due. An open request sees to it that something is, soon: it never
  // falls silent.
  void KeepAwake() {
    v1::ProgressReply heard;
    heard.add_results()->set_request_id(quiet_.ToBytes());
    accountant().OnProgressReply({.request = {}, .sent_us = clock_.NowUs()}, heard);
  }

  std::string SettleTheLast() {
    books_.NoMoreFaults();
    accountant().Finish(quiet_, v1::SETTLE_ABANDONED, clock_.NowUs());
    while (accountant().pending_settles() > 0) {
      if (!calls_->AwaitAny(kSafetyNet)) return "the last Settle is never sent";
      calls_->Take(0)(books_);
    }
    if (!driver_.Drain(kSafetyNet)) return "all is settled, and it is not drained";
    return books_.Compare(streams_.delivered());
  }

  Draw draw_;
  const bool goes_away_;
  WatchedClock clock_;
  FaultyBooks books_;
  const std::shared_ptr<HeldCalls> calls_ = std::make_shared<HeldCalls>();
  int64_t happened_us_ = 0;
  RequestId quiet_;
  DriverStreams streams_;
  gateway::LedgerDriver driver_;  // first to go: its thread uses the rest
};

std::string RunSeed(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("QUIRE_SEED=", seed));
  return SteppedWorld(seed).Run();
}

TEST(LedgerDriverSteps, APlantedBugIsFound) {
  if (std::getenv("QUIRE_PLANTED_BUG") == nullptr) GTEST_SKIP() << "none is planted";
  EXPECT_FALSE(Seeds("", "$0", RunSeed).Hold(1, 50)) << "nothing was found";
}

TEST(LedgerDriverSteps, WhatWasDeliveredIsBilledWhateverIsLost) {
  EXPECT_TRUE(SeedsHold("tests/simulation/kept_driver_steps_seeds", 40, RunSeed));
}

}  // namespace
}  // namespace quire::simulation
