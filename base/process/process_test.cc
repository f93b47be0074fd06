#include "base/process/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/process/child.h"
#include "base/process/lock_probe.h"

namespace quire {
namespace {

HeldChild Sleeper(int output = -1) {
  HeldChild child = *ForkHeld({{"/bin/sleep", "1000"}, output, 0});
  EXPECT_TRUE(child.gate.Open().ok());
  return child;
}

TEST(Process, IsKnownByPidAndStartTime) {
  const HeldChild child = Sleeper();
  const Process& process = child.process;
  EXPECT_TRUE(FindLiving(process.pid, process.start_time).has_value());
  EXPECT_FALSE(FindLiving(process.pid, process.start_time + 1).has_value());
  EXPECT_FALSE(FindLiving(process.pid, 0).has_value());
  EXPECT_FALSE(FindLiving(0, process.start_time).has_value());
  EXPECT_FALSE(FindLiving(-1, process.start_time).has_value());
  EXPECT_FALSE(FindLiving(1, StartTimeOf(1)).has_value());
  SendSignal(process, SIGKILL);
  EXPECT_EQ(AwaitEnd(process).Text(), "signal 9");
  EXPECT_FALSE(FindLiving(process.pid, process.start_time).has_value());
  EXPECT_FALSE(SendSignal(process, SIGKILL));
}

TEST(Process, ArgumentsAreThoseThatWereGivenAndNoEmptyOneBeside) {
  const HeldChild child = Sleeper();
  EXPECT_EQ(ArgumentsOf(child.process), (std::vector<std::string>{"/bin/sleep", "1000"}));
  SendSignal(child.process, SIGKILL);
  AwaitEnd(child.process);
}

TEST(Process, IsKnownByTheFileOfItsErrors) {
  std::string path = testing::TempDir() + "/quire_process_XXXXXX";
  const Fd file(mkstemp(path.data()));
  const std::string copy = path + ".copy";
  std::filesystem::copy_file(path, copy);
  const HeldChild child = Sleeper(file.get());
  EXPECT_TRUE(WritesErrorsTo(child.process, path));
  EXPECT_FALSE(WritesErrorsTo(child.process, copy));
  EXPECT_FALSE(WritesErrorsTo(child.process, path + ".none"));
  SendSignal(child.process, SIGKILL);
  AwaitEnd(child.process);
  std::filesystem::remove(path);
  std::filesystem::remove(copy);
}

// As where we are PID 1: a process whose parent died falls to us.
TEST(Process, AdoptedOnesAreReapedAndOwnOnesLeftAlone) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const HeldChild own = Sleeper();
  int alive[2];
  ASSERT_EQ(pipe(alive), 0);
  const pid_t middle = fork();
  if (middle == 0) {
    if (fork() == 0) _exit(0);
    _exit(0);
  }
  close(alive[1]);
  char byte;
  EXPECT_EQ(read(alive[0], &byte, 1), 0);  // both have ended
  siginfo_t info{};
  SendSignal(own.process, SIGKILL);
  ASSERT_EQ(waitid(P_PIDFD, static_cast<id_t>(own.process.pidfd.get()), &info, WEXITED | WNOWAIT), 0);
  int reaped = 0;
  while (reaped < 2)
    reaped += ReapAdopted({own.process.pid});  // an end shows just after its descriptors closed
  EXPECT_EQ(reaped, 2);
  EXPECT_EQ(Reap(own.process).Text(), "signal 9");
  close(alive[0]);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(Process, NamespaceAndBootHaveNames) {
  EXPECT_EQ(PidNamespaceId().rfind("pid:[", 0), 0u);
  EXPECT_FALSE(BootId().empty());
}

TEST(LockProbe, FreeHeldAndUnknown) {
  std::string path = testing::TempDir() + "/quire_lock_XXXXXX";
  Fd file(mkstemp(path.data()));
  EXPECT_EQ(ProbeLock(path), LockState::kFree);
  ASSERT_EQ(flock(file.get(), LOCK_EX), 0);
  EXPECT_EQ(ProbeLock(path), LockState::kHeld);
  file.Close();
  EXPECT_EQ(ProbeLock(path), LockState::kFree);
  EXPECT_EQ(ProbeLock(path + "/not-a-folder"), LockState::kUnknown);
  std::filesystem::remove(path);
  EXPECT_EQ(ProbeLock(path), LockState::kFree);
}

}  // namespace
}  // namespace quire
