#include "coordinator/fleet/process_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "base/core/files.h"

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

// What the driver said through its fence sink; a test waits for it instead of sleeping.
class Fences {
 public:
  FleetDriver::FenceSink Sink() {
    return [this](const std::string& id, uint64_t epoch) {
      MutexLock lock(&mutex_);
      first_valid_[id] = std::max(first_valid_[id], epoch);
      ++calls_[id];
    };
  }
  void WaitFor(const std::string& id, uint64_t epoch) {
    MutexLock lock(&mutex_);
    auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return first_valid_[id] >= epoch; };
    mutex_.Await(absl::Condition(&reached));
  }
  // One call at each start of the group and one at its end; the driver is locked during it.
  void WaitForCalls(const std::string& id, int calls) {
    MutexLock lock(&mutex_);
    auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return calls_[id] >= calls; };
    mutex_.Await(absl::Condition(&reached));
  }

 private:
  Mutex mutex_;
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> first_valid_ ABSL_GUARDED_BY(mutex_);
};

class ProcessDriverTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_driver_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    data_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(data_); }

  // The child's arguments, with the group's shared memory's name as quire-worker gets it.
  std::unique_ptr<ProcessDriver> Make(std::vector<std::string> arguments, int groups = 1, int ranks = 2) {
    ProcessDriver::Config config;
    config.data_dir = data_;
    config.groups = groups;
    config.ranks = ranks;
    config.backoff = {1, 2, 4, 60'000};
    config.stop_grace_ms = stop_grace_ms_;
    config.command = [arguments](const RankIdentity& identity) {
      std::vector<std::string> argv{QUIRE_TEST_CHILD};
      argv.insert(argv.end(), arguments.begin(), arguments.end());
      argv.insert(argv.end(), {"--shm", identity.shm_name});
      return argv;
    };
    return std::make_unique<ProcessDriver>(std::move(config), clock_, fences_.Sink());
  }

  static bool Lives(int64_t pid) { return pid > 0 && kill(static_cast<pid_t>(pid), 0) == 0; }

  SystemClock clock_;
  Fences fences_;
  std::string data_;
  int64_t stop_grace_ms_ = 60'000;
};

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
  ASSERT_EQ(kill(static_cast<pid_t>(before[0].pids[1]), SIGKILL), 0);
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

TEST_F(ProcessDriverTest, ACrashLoopNamesTheLogsLastLines) {
  auto driver = Make({"exit", "70"}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  fences_.WaitFor("g0", 4);  // three epochs ended
  const DrivenGroup group = driver->List()[0];
  EXPECT_GE(group.restarts, 2u);
  EXPECT_THAT(group.last_exit, HasSubstr("exit code 70"));
  EXPECT_THAT(group.last_exit, HasSubstr("can't go on: no such model"));
  EXPECT_THAT(group.last_exit, HasSubstr("g0-rank0.log"));
  driver->Stop();
}

TEST_F(ProcessDriverTest, AMissingProgramIsReportedAndRetried) {
  ProcessDriver::Config config;
  config.data_dir = data_;
  config.backoff = {1, 2, 4, 60'000};
  config.command = [](const RankIdentity&) { return std::vector<std::string>{"/nonexistent/quire-worker"}; };
  ProcessDriver driver(config, clock_, fences_.Sink());
  ASSERT_TRUE(driver.Start().ok());
  fences_.WaitFor("g0", 3);
  EXPECT_THAT(driver.List()[0].last_exit, HasSubstr("can't start /nonexistent/quire-worker"));
  driver.Stop();
}

TEST_F(ProcessDriverTest, ASuccessorAdoptsTheLiving) {
  auto first = Make({"wait"});
  ASSERT_TRUE(first->Start().ok());
  const auto before = first->List();
  first.reset();  // as a killed coordinator: the workers go on
  for (int64_t pid : before[0].pids) EXPECT_TRUE(Lives(pid));
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[0].pids, before[0].pids);
  EXPECT_EQ(second->List()[0].epoch, 1u);
  ASSERT_EQ(kill(static_cast<pid_t>(before[0].pids[0]), SIGKILL), 0);  // adopted ones are watched too
  fences_.WaitFor("g0", 2);
  second->Stop();
}

TEST_F(ProcessDriverTest, ASuccessorWithAnotherCommandStartsAnew) {
  auto first = Make({"wait"});
  ASSERT_TRUE(first->Start().ok());
  const auto before = first->List();
  first.reset();
  auto second = Make({"wait", "--model", "other"});
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[0].epoch, 2u);
  EXPECT_NE(second->List()[0].pids, before[0].pids);
  second->Stop();
}

TEST_F(ProcessDriverTest, ASuccessorEndsAHalfStartedGroup) {
  auto first = Make({"wait"});
  ASSERT_TRUE(first->Start().ok());
  const auto before = first->List();
  first.reset();
  // As if the crash had come before the processes were written down.
  FleetState state = *LoadFleetState(data_ + "/fleet.json");
  state.groups[0].ranks.clear();
  ASSERT_TRUE(SaveFleetState(data_ + "/fleet.json", state).ok());
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[0].epoch, 2u);
  for (int64_t pid : before[0].pids) {
    siginfo_t info{};
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED), 0);
    EXPECT_EQ(info.si_status, SIGKILL);
  }
  second->Stop();
}

TEST_F(ProcessDriverTest, StopKillsWhatIgnoresSigterm) {
  stop_grace_ms_ = 1;
  const std::string ready = data_ + "/ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  auto driver = Make({"stubborn", ready}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  std::ifstream waits_for_the_child(ready);
  driver->Stop();
  EXPECT_EQ(driver->List()[0].phase, GroupPhase::kStopped);
}

TEST_F(ProcessDriverTest, RemovesTheSharedMemoryOfDeadEpochs) {
  auto driver = Make({"wait"}, /*groups=*/1, /*ranks=*/1);
  ASSERT_TRUE(driver->Start().ok());
  const std::string name = LoadFleetState(data_ + "/fleet.json")->groups[0].shm_name;
  const std::string path = "/dev/shm/" + name;
  std::ofstream(path) << "x";
  ASSERT_EQ(kill(static_cast<pid_t>(driver->List()[0].pids[0]), SIGKILL), 0);
  fences_.WaitForCalls("g0", 3);
  EXPECT_FALSE(std::filesystem::exists(path));
  driver->Stop();
}

TEST_F(ProcessDriverTest, RefusesADamagedStateFile) {
  ASSERT_TRUE(WriteFileAtomically(data_ + "/fleet.json", "{", 0600).ok());
  const absl::Status status = Make({"wait"})->Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fleet.json"));
}

}  // namespace
}  // namespace quire::coordinator
