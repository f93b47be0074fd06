#include "base/core/shutdown.h"

#include <gtest/gtest.h>

#include <csignal>

namespace quire {
namespace {

TEST(ImpatientShutdown, TheNextSignalHurriesOnceAndAThirdDoesNothing) {
  BlockShutdownSignals();
  RequestShutdown();
  EXPECT_EQ(WaitForShutdownSignal(), SIGTERM);
  Notification hurried;
  {
    ImpatientShutdown second([&] {
      ASSERT_FALSE(hurried.HasBeenNotified());
      hurried.Notify();
    });
    RequestShutdown();
    hurried.WaitForNotification();
    RequestShutdown();
  }
  EXPECT_EQ(WaitForShutdownSignal(), SIGTERM);  // the third, which nobody took
}

TEST(ImpatientShutdown, WithoutASecondSignalNothingHurries) {
  BlockShutdownSignals();
  {
    ImpatientShutdown second([] { FAIL() << "nobody asked for it"; });
  }
  RequestShutdown();
  EXPECT_EQ(WaitForShutdownSignal(), SIGTERM);  // and the process's own signals are as they were
}

}  // namespace
}  // namespace quire
