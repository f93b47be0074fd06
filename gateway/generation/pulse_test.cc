#include "gateway/generation/pulse.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace quire::gateway {
namespace {

class PulseTest : public ::testing::Test {
 protected:
  void PassUntilTheNextBeat(int64_t ms) {
    clock_.AdvanceMs(ms);
    for (const int before = beats_; beats_ == before;) context_.run_one();
  }

  boost::asio::io_context context_;
  ManualClock clock_;
  int beats_ = 0;
  const std::shared_ptr<Pulse> pulse_ = Pulse::Start(context_.get_executor(), clock_, [this] { ++beats_; });
};

// As in a write of many seconds: nobody else looks.
TEST_F(PulseTest, TimeThatPassesFromBeatToBeatIsNoSleep) {
  for (int i = 0; i < 4; ++i) PassUntilTheNextBeat(1000);
  pulse_->Look();
  EXPECT_EQ(pulse_->slept_us(), std::nullopt);
}

TEST_F(PulseTest, ALongerGapWasASleep) {
  PassUntilTheNextBeat(4000);
  EXPECT_EQ(pulse_->slept_us(), clock_.NowUs());
  EXPECT_TRUE(pulse_->SleptAbout(clock_.NowUs() - Pulse::kWakingUs / 2));
  EXPECT_FALSE(pulse_->SleptAbout(clock_.NowUs() - Pulse::kWakingUs));
}

TEST_F(PulseTest, ABeatAfterItsOwnerIsGoneDoesNothing) {
  auto other = Pulse::Start(context_.get_executor(), clock_, [] { ADD_FAILURE() << "nobody is there"; });
  other.reset();
  PassUntilTheNextBeat(0);
}

}  // namespace
}  // namespace quire::gateway
