#include "coordinator/fleet/process_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/core/files.h"
#include "coordinator/fleet/test_driver.h"

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

TEST_F(ProcessDriverTest, StartsEveryRankAndStopsThem) {
  auto driver = Make({"wait"}, /*groups=*/2, /*ranks=*/3);
  ASSERT_TRUE(driver->Start().ok());
  const auto groups = driver->List();
  ASSERT_EQ(groups.size(), 2u);
  for (const DrivenGroup& group : groups) {
    EXPECT_EQ(group.phase, GroupPhase::kRunning);
    EXPECT_EQ(group.epoch, 1u);
    ASSERT_EQ(group.pids.size(), 3u);
    for (int64_t pid : group.pids) EXPECT_TRUE(Lives(pid));
  }
  driver->Stop();
  for (const DrivenGroup& group : driver->List()) EXPECT_EQ(group.phase, GroupPhase::kStopped);
  for (int64_t pid : groups[0].pids) EXPECT_FALSE(Lives(pid));
}

TEST_F(ProcessDriverTest, OneDeadRankEndsItsGroupAndANewEpochStarts) {
  auto driver = Make({"wait"}, /*groups=*/2);
  ASSERT_TRUE(driver->Start().ok());
  const auto before = driver->List();
  Kill(before[0].pids[1]);
  fences_.WaitForCalls("g0", 3);
  const auto after = driver->List();
  EXPECT_EQ(after[0].epoch, 2u);
  EXPECT_EQ(after[0].restarts, 1u);
  EXPECT_THAT(after[0].last_exit, HasSubstr("rank 1: signal 9"));
  EXPECT_NE(after[0].pids[0], before[0].pids[0]);
  EXPECT_FALSE(Lives(before[0].pids[0]));
  EXPECT_EQ(after[1].pids, before[1].pids);  // the other group noticed nothing
  driver->Stop();
}

// By it a group is given what is its own, GPUs above all; a new driver that looks whether it may adopt a
// group asks by the same one.
TEST_F(ProcessDriverTest, AGroupKeepsItsNumber) {
  auto config = Config({"wait"}, /*groups=*/3, /*ranks=*/1);
  std::vector<std::pair<std::string, int64_t>> asked;  // by a driver that holds its lock
  config.command = [&, inner = config.command](const RankIdentity& identity) {
    asked.emplace_back(identity.group_id, identity.group);
    return inner(identity);
  };
  {
    auto driver = MakeWith(config);
    ASSERT_TRUE(driver->Start().ok());
    Kill(driver->List()[1].pids[0]);
    fences_.WaitForCalls("g1", 3);
  }
  config.groups = 2;  // the third one is only ended
  auto successor = MakeWith(config);
  ASSERT_TRUE(successor->Start().ok());
  EXPECT_EQ(successor->List()[1].epoch, 2u);  // adopted
  successor->Stop();
  EXPECT_GE(asked.size(), 10u);  // a fingerprint and a rank at each start, a fingerprint of what is adopted
  for (const auto& [group, number] : asked) EXPECT_EQ(group, absl::StrCat("g", number));
}

TEST_F(ProcessDriverTest, ACrashLoopNamesTheLogsLastLines) {
  auto driver = Make({"exit", "70"}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  fences_.WaitFor("g0", 4);  // three epochs ended
  const DrivenGroup group = driver->List()[0];
  EXPECT_GE(group.restarts, 2u);
  EXPECT_THAT(group.last_exit, HasSubstr("exit code 70"));
  EXPECT_THAT(group.last_exit, HasSubstr("can't go on: no such model"));
  EXPECT_THAT(group.last_exit, HasSubstr("g0-rank0.err"));
  driver->Stop();
}

TEST_F(ProcessDriverTest, AMissingProgramIsReportedAndRetriedUntilItIsThere) {
  program_ = data_ + "/quire-worker";
  auto driver = Make({"wait"}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  fences_.WaitFor("g0", 3);
  EXPECT_THAT(driver->List()[0].last_exit, HasSubstr("can't start " + program_ + ": No such file"));
  std::filesystem::create_symlink(QUIRE_TEST_CHILD, program_);
  fences_.WaitUntil("g0", [&] { return driver->List()[0].phase == GroupPhase::kRunning; });
  EXPECT_TRUE(Lives(driver->List()[0].pids[0]));
  driver->Stop();
}

// As where the disk is full: fleet.json can't be replaced.
TEST_F(ProcessDriverTest, NothingRunsThatCantBeRecorded) {
  std::filesystem::create_directories(data_ + "/fleet.json.tmp/in-the-way");
  auto driver = Make({"exit", "70"}, /*groups=*/1, /*ranks=*/2);
  ASSERT_TRUE(driver->Start().ok());
  fences_.WaitFor("g0", 4);
  const DrivenGroup group = driver->List()[0];
  EXPECT_THAT(group.last_exit, HasSubstr("no group starts that isn't recorded; free space"));
  for (const char* name : {"/logs/g0-rank0.err", "/logs/g0-rank0.err.1", "/logs/g0-rank1.err"}) {
    EXPECT_EQ(ReadWholeFile(data_ + name).value_or(""), "") << name;  // the child would have said something
  }
  std::filesystem::remove_all(data_ + "/fleet.json.tmp");
  fences_.WaitUntil("g0", [&] {  // now it runs, and says so
    return absl::StrContains(driver->List()[0].last_exit, "exit code 70");
  });
  driver->Stop();
}

TEST_F(ProcessDriverTest, StopKillsWhatIgnoresSigterm) {
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  ProcessDriver::Config config = Config({"stubborn", ready}, /*groups=*/1, /*ranks=*/1);
  config.stop_grace_ms = 1;
  auto driver = MakeWith(config);
  ASSERT_TRUE(driver->Start().ok());
  std::ifstream waits_for_the_child(ready);
  driver->Stop();
  EXPECT_EQ(driver->List()[0].phase, GroupPhase::kStopped);
}

// Each look at it is an hour after the last one: all the time the machine slept.
class LeapingClock final : public Clock {
 public:
  int64_t NowUs() const override { return ++looks_ * int64_t{3'600'000'000}; }
  int64_t UnixMs() const override { return 0; }
  int64_t looks() const { return looks_; }

 private:
  mutable std::atomic<int64_t> looks_{0};
};

TEST_F(ProcessDriverTest, TimeThatTheMachineSleptCountsLittleForWhoIsToldToEnd) {
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  ProcessDriver::Config config = Config({"stubborn", ready}, /*groups=*/1, /*ranks=*/1);
  config.stop_grace_ms = 60'000;
  LeapingClock clock;
  ProcessDriver driver(config, clock, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  std::ifstream waits_for_the_child(ready);
  driver.Stop();
  EXPECT_GE(clock.looks(), 60);  // a second at most for each
  EXPECT_EQ(driver.List()[0].phase, GroupPhase::kStopped);
}

// A rank that died of the signal, as one that has just been started does, is waited for by the others: for
// ever.
TEST_F(ProcessDriverTest, StopKillsWhatWaitsForADeadRank) {
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  ProcessDriver::Config config = Config({}, /*groups=*/1, /*ranks=*/2);
  config.stop_grace_ms = 3'600'000;
  config.command = [&, program = program_](const RankIdentity& identity) {
    std::vector<std::string> argv{program, identity.rank == 0 ? "wait" : "stubborn", ready};
    argv.insert(argv.end(), {"--shm", identity.shm_name});
    return argv;
  };
  auto driver = MakeWith(config);
  ASSERT_TRUE(driver->Start().ok());
  std::ifstream waits_for_the_child(ready);
  driver->Stop();
  EXPECT_EQ(driver->List()[0].phase, GroupPhase::kStopped);
}

// Fenced first, it would hear that its epoch is over before it knows that it is to drain: its streams were
// lost.
TEST_F(ProcessDriverTest, AGroupIsToldToEndBeforeItIsFenced) {
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  Fd rank;
  bool ended = false;
  fences_.on_fence = [&](const std::string&, uint64_t epoch) {
    if (epoch != 2) return;
    pollfd end{rank.get(), POLLIN, 0};
    ended = poll(&end, 1, 60'000) == 1;
  };
  auto driver = Make({"obedient", ready}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  std::ifstream(ready).close();  // waits for the child
  rank = Fd(static_cast<int>(syscall(SYS_pidfd_open, driver->List()[0].pids[0], 0)));
  ASSERT_TRUE(rank.valid());
  driver->Stop();
  EXPECT_TRUE(ended);
}

TEST_F(ProcessDriverTest, HurryStopWaitsForNobody) {
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  ProcessDriver::Config config = Config({"stubborn", ready}, /*groups=*/1, /*ranks=*/1);
  config.stop_grace_ms = 3'600'000;
  config.hurry_grace_ms = 1;
  auto driver = MakeWith(config);
  ASSERT_TRUE(driver->Start().ok());
  std::ifstream waits_for_the_child(ready);
  std::thread stop([&] { driver->Stop(); });
  fences_.WaitFor("g0", 2);  // it is told to end
  driver->HurryStop();
  stop.join();
  EXPECT_EQ(driver->List()[0].phase, GroupPhase::kStopped);
}

// C10: a group that takes long to load and then dies isn't healthy.
TEST_F(ProcessDriverTest, BackoffCountsFromRegisterNotFromTheStart) {
  ManualClock clock;
  std::atomic<int64_t> served_ms = 0;  // the driver's thread reads it
  ProcessDriver::Config config = Config({"wait"}, /*groups=*/1, /*ranks=*/1);
  config.backoff = {100, 1000, 60'000, 60'000};
  config.served = [&](const std::string&, uint64_t) {
    return ProcessDriver::ServedRun{.ms = served_ms.load()};
  };
  ProcessDriver driver(config, clock, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  int calls = 1;
  for (const auto& [served, delay_ms] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 100}, {0, 1000}, {60'000, 100}}) {
    clock.AdvanceMs(3'600'000);  // it loads for an hour
    {
      const DrivenGroup group = driver.List()[0];
      served_ms = served;
      Kill(group.pids[0]);
    }
    fences_.WaitForCalls("g0", ++calls);
    EXPECT_EQ(driver.List()[0].restart_in_ms, delay_ms);
    clock.AdvanceMs(delay_ms);
    fences_.WaitForCalls("g0", ++calls);
  }
  driver.Stop();
}

// A rolling restart is SIGTERM to each group in turn: whoever does as it was told has not failed.
TEST_F(ProcessDriverTest, AGroupThatEndsAsItWasToldRestartsAtOnce) {
  ManualClock clock;  // stands still: a backoff would never end
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  ProcessDriver::Config config = Config({"obedient", ready}, /*groups=*/1, /*ranks=*/1);
  config.served = [](const std::string&, uint64_t) { return ProcessDriver::ServedRun{.ms = 1}; };
  ProcessDriver driver(config, clock, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  int calls = 1;
  for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
    std::ifstream(ready).close();  // waits for this epoch's child
    ASSERT_EQ(kill(static_cast<pid_t>(driver.List()[0].pids[0]), SIGTERM), 0);
    fences_.WaitForCalls("g0", calls += 2);
    const DrivenGroup group = driver.List()[0];
    EXPECT_EQ(group.phase, GroupPhase::kRunning);
    EXPECT_EQ(group.epoch, epoch + 1);
    EXPECT_EQ(group.restarts, 0u) << "it has not failed";
    EXPECT_THAT(group.last_exit, HasSubstr("as they were told"));
  }
  driver.Stop();
}

TEST_F(ProcessDriverTest, WhatEndsCleanlyWithoutHavingServedWaits) {
  ManualClock clock;
  auto config = Config({"exit", "0"}, /*groups=*/1, /*ranks=*/1);
  ProcessDriver driver(config, clock, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  fences_.WaitFor("g0", 2);
  EXPECT_EQ(driver.List()[0].phase, GroupPhase::kBackoff);
  driver.Stop();
}

// Exit code 2: the rank does not understand its command line. It won't the next time.
TEST_F(ProcessDriverTest, WhatARestartCantHelpWaitsLongest) {
  ManualClock clock;
  auto config = Config({"exit", "2"}, /*groups=*/1, /*ranks=*/1);
  ProcessDriver driver(config, clock, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  fences_.WaitFor("g0", 2);
  EXPECT_EQ(driver.List()[0].restart_in_ms, config.backoff.max_ms);
  driver.Stop();
}

TEST_F(ProcessDriverTest, WhatARankSaysOnStderrHasABound) {
  const std::string errors = data_ + "/logs/g0-rank0.err";
  ProcessDriver::Config config = Config({"wait"}, /*groups=*/1, /*ranks=*/1);
  config.max_error_bytes = 1000;
  auto driver = MakeWith(config);
  ASSERT_TRUE(driver->Start().ok());
  std::ofstream writer(errors, std::ios::app);
  for (int i = 0; i < 1000; ++i) writer << "crash text\n" << std::flush;
  driver->Stop();
  // Its thread has been told of every write before it was told to stop.
  EXPECT_LE(std::filesystem::file_size(errors), 1000u);
}

TEST_F(ProcessDriverTest, RemovesTheSharedMemoryOfDeadEpochs) {
  auto driver = Make({"wait"}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  const std::string name = LoadFleetState(data_ + "/fleet.json")->groups.at(0).shm_name;
  const std::string path = "/dev/shm/" + name;
  std::ofstream(path) << "x";
  Kill(driver->List()[0].pids[0]);
  fences_.WaitForCalls("g0", 3);
  EXPECT_FALSE(std::filesystem::exists(path));
  driver->Stop();
}

}  // namespace
}  // namespace quire::coordinator
