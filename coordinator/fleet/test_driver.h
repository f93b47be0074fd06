// What the tests of ProcessDriver share: a data folder, a driver over the child program quire-test-child, and
// the driver's fences as something to wait for. Test code only.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/fleet/process_driver.h"

namespace quire::coordinator {

// What the driver said through its fence sink; a test waits for it instead of sleeping.
class Fences {
 public:
  FleetDriver::FenceSink Sink() {
    return [this](const std::string& id, uint64_t epoch) {
      if (on_fence) on_fence(id, epoch);
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
  // Looks again at each of its calls.
  template <typename Condition>
  void WaitUntil(const std::string& id, Condition holds) {
    while (true) {
      const int calls = Calls(id);
      if (holds()) return;
      WaitForCalls(id, calls + 1);
    }
  }

  FleetDriver::FenceSink on_fence;  // before the driver starts

 private:
  int Calls(const std::string& id) {
    MutexLock lock(&mutex_);
    return calls_[id];
  }

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

  ProcessDriver::Config Config(std::vector<std::string> arguments, int groups, int ranks) const {
    ProcessDriver::Config config;
    config.data_dir = data_;
    config.groups = groups;
    config.ranks = ranks;
    config.backoff = {1, 2, 4, 60'000};
    config.stop_grace_ms = 60'000;
    // The child's arguments, with the name of the group's shared memory as quire-worker gets it.
    config.command = [arguments, program = program_](const RankIdentity& identity) {
      std::vector<std::string> argv{program};
      argv.insert(argv.end(), arguments.begin(), arguments.end());
      argv.insert(argv.end(), {"--shm", identity.shm_name});
      return argv;
    };
    return config;
  }
  std::unique_ptr<ProcessDriver> MakeWith(ProcessDriver::Config config) {
    return std::make_unique<ProcessDriver>(std::move(config), clock_, fences_.Sink());
  }
  std::unique_ptr<ProcessDriver> Make(std::vector<std::string> arguments, int groups = 1, int ranks = 2) {
    return MakeWith(Config(std::move(arguments), groups, ranks));
  }

  // A dead one that nobody has reaped yet doesn't live.
  static bool Lives(int64_t pid) { return pid > 0 && StartTimeOf(static_cast<pid_t>(pid)) != 0; }
  static void Kill(int64_t pid) {
    ASSERT_GT(pid, 1);
    ASSERT_EQ(kill(static_cast<pid_t>(pid), SIGKILL), 0);
  }

  SystemClock clock_;
  Fences fences_;
  std::string data_, program_ = QUIRE_TEST_CHILD;
};

}  // namespace quire::coordinator
