#include "base/core/shutdown.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>

namespace quire {
namespace {

TEST(Hurries, AnotherNumberDoesAndTheSameOneOnlyLater) {
  for (const SigtermAgain again : {SigtermAgain::kHurries, SigtermAgain::kSameThing}) {
    EXPECT_TRUE(Hurries({SIGTERM, 5000}, SIGINT, 5000, again));
    EXPECT_TRUE(Hurries({SIGINT, 5000}, SIGTERM, 5000, again));
    EXPECT_FALSE(Hurries({SIGINT, 5000}, SIGINT, 6000, again));
    EXPECT_TRUE(Hurries({SIGINT, 5000}, SIGINT, 6001, again));
    EXPECT_FALSE(Hurries({SIGTERM, 5000}, SIGTERM, 6000, again));
  }
}

// A service manager tells the gateway, and later, when it has come so far, the launcher does.
TEST(Hurries, SigtermAgainIsTheSameThingWhereTheLauncherSendsItToo) {
  EXPECT_TRUE(Hurries({SIGTERM, 5000}, SIGTERM, 6001, SigtermAgain::kHurries));
  EXPECT_FALSE(Hurries({SIGTERM, 5000}, SIGTERM, 600'000, SigtermAgain::kSameThing));
}

// Each signal is taken before the next one is sent: two of one number that wait become one.
class ImpatientShutdownTest : public testing::Test {
 protected:
  void SetUp() override { BlockShutdownSignals(); }
  static void Send(int number) {
    kill(getpid(), number);
    sigset_t pending;
    do {
      sigpending(&pending);
    } while (sigismember(&pending, number) == 1);
  }

  ManualClock clock_;
};

TEST_F(ImpatientShutdownTest, ALaterSignalHurriesOnceAndAThirdDoesNothing) {
  Notification hurried;
  {
    ImpatientShutdown second(SIGTERM, clock_, [&] {
      ASSERT_FALSE(hurried.HasBeenNotified());
      hurried.Notify();
    });
    kill(getpid(), SIGINT);
    hurried.WaitForNotification();
    kill(getpid(), SIGINT);
  }
  EXPECT_EQ(WaitForShutdownSignal(), SIGINT);  // the third, which nobody took
}

TEST_F(ImpatientShutdownTest, ARepeatDoesNothingAndTheNextOneCounts) {
  Notification hurried;
  bool may_hurry = false;
  Mutex mutex;
  ImpatientShutdown second(SIGTERM, clock_, [&] {
    MutexLock lock(&mutex);
    EXPECT_TRUE(may_hurry);
    hurried.Notify();
  });
  Send(SIGTERM);
  clock_.AdvanceMs(60'000);
  Send(SIGTERM);
  {
    MutexLock lock(&mutex);
    may_hurry = true;
  }
  Send(SIGINT);
  hurried.WaitForNotification();
}

TEST_F(ImpatientShutdownTest, WithoutASecondSignalNothingHurries) {
  {
    ImpatientShutdown second(SIGTERM, clock_, [] { FAIL() << "nobody asked for it"; });
  }
  RequestShutdown();
  EXPECT_EQ(WaitForShutdownSignal(), SIGTERM);  // and the process's own signals are as they were
}

}  // namespace
}  // namespace quire
