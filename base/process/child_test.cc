#include "base/process/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/core/files.h"

namespace quire {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ChildTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_child_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    output_ = *OpenOutput(Output());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Output() const { return folder_ + "/output"; }
  HeldChild Fork(const std::string& script) {
    return *ForkHeld({{"/bin/sh", "-c", script}, output_.get(), 0});
  }

  std::string folder_;
  Fd output_;
};

TEST_F(ChildTest, RunsNothingBeforeItsGateOpens) {
  HeldChild child = Fork("echo ran; exit 3");
  EXPECT_GT(child.process.start_time, 0u);
  EXPECT_THAT(ArgumentsOf(child.process), Not(testing::Contains("echo ran; exit 3")));
  EXPECT_TRUE(child.gate.Open().ok());
  EXPECT_EQ(AwaitEnd(child.process).Text(), "exit code 3");
  EXPECT_EQ(*ReadWholeFile(Output()), "ran\n");
}

TEST_F(ChildTest, AGateThatIsDroppedEndsTheChild) {
  HeldChild child = Fork("echo ran");
  child.gate = StartGate();
  EXPECT_EQ(AwaitEnd(child.process).Text(), "exit code 126");
  EXPECT_EQ(*ReadWholeFile(Output()), "");
}

// The owner is a process of its own here, which dies as by SIGKILL with two children at their gates.
TEST_F(ChildTest, AnOwnerThatDiesLeavesNoChildBehind) {
  int report[2];
  ASSERT_EQ(pipe(report), 0);  // inherited by the children if they kept descriptors of ours: they must not
  const pid_t owner = fork();
  if (owner == 0) {
    absl::StatusOr<HeldChild> first = ForkHeld({{"/bin/sh", "-c", "echo ran"}, output_.get(), 0});
    absl::StatusOr<HeldChild> second = ForkHeld({{"/bin/sh", "-c", "echo ran"}, output_.get(), 0});
    if (!first.ok() || !second.ok()) _exit(1);
    pid_t pids[] = {first->process.pid, second->process.pid};
    if (write(report[1], pids, sizeof pids) != sizeof pids) _exit(1);
    kill(getpid(), SIGKILL);
  }
  close(report[1]);
  pid_t pids[2];
  ASSERT_EQ(read(report[0], pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  char byte;
  EXPECT_EQ(read(report[0], &byte, 1), 0);  // the owner is dead, and nobody else holds its descriptors
  ASSERT_EQ(waitpid(owner, nullptr, 0), owner);
  for (pid_t pid : pids) {  // gone, or going; a pidfd waits for it
    if (std::optional<Process> child = FindLiving(pid, StartTimeOf(pid))) AwaitEnd(*child);
  }
  EXPECT_EQ(*ReadWholeFile(Output()), "");
  close(report[0]);
}

TEST_F(ChildTest, SaysWhyItCantBecomeTheProgram) {
  const std::string no_program = folder_ + "/no-program";
  std::ofstream(no_program) << "not a program";
  std::filesystem::permissions(no_program, std::filesystem::perms::owner_all);
  absl::StatusOr<HeldChild> child = ForkHeld({{no_program}, output_.get(), 0});
  ASSERT_TRUE(child.ok());
  const absl::Status opened = child->gate.Open();
  EXPECT_TRUE(absl::IsNotFound(opened));
  EXPECT_THAT(std::string(opened.message()),
              HasSubstr("no-program: Exec format error: put the program there again"));
  EXPECT_EQ(AwaitEnd(child->process).Text(), "exit code 127");
}

TEST_F(ChildTest, OpeningTheGateOfADeadChildIsAnErrorAndNoSignal) {
  HeldChild child = Fork("echo ran");
  ASSERT_TRUE(SendSignal(child.process, SIGKILL));
  EXPECT_EQ(AwaitEnd(child.process).Text(), "signal 9");
  EXPECT_TRUE(absl::IsUnavailable(child.gate.Open()));
}

TEST_F(ChildTest, InheritsNoDescriptorMaskOrIgnoredSignal) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t term, old;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &old);
  const Fd mine(open("/dev/null", O_RDONLY));  // without CLOEXEC
  HeldChild child =
      Fork("ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status; readlink /proc/$$/fd/0");
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  ASSERT_TRUE(child.gate.Open().ok());
  EXPECT_EQ(AwaitEnd(child.process).Text(), "exit code 0");
  const std::string said = *ReadWholeFile(Output());
  EXPECT_THAT(said, StartsWith("4\n"));  // 0, 1, 2 and the folder that ls reads
  EXPECT_THAT(said, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(said, HasSubstr("SigIgn:\t0000000000000000"));
  EXPECT_THAT(said, HasSubstr("/dev/null"));
}

// Lines, the fork, its pidfd and /proc: whichever is short of a descriptor says what to do.
TEST_F(ChildTest, WhereNoDescriptorIsLeftTheLimitIsNamed) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<Fd> taken;
  while (taken.empty() || taken.back().get() < 16) taken.emplace_back(dup(output_.get()));
  auto limit = static_cast<rlim_t>(taken.back().get() + 1);  // none below is free; a child needs some
  int refused = 0;
  for (bool forked = false; !forked && limit < before.rlim_cur; ++limit) {
    const rlimit low{limit, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    absl::StatusOr<HeldChild> child = ForkHeld({{"/bin/sh", "-c", "echo ran"}, output_.get(), 0});
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    forked = child.ok();
    if (forked) {
      child->gate = StartGate();
      AwaitEnd(child->process);
      continue;
    }
    ++refused;
    EXPECT_TRUE(absl::IsUnavailable(child.status())) << limit;
    EXPECT_THAT(std::string(child.status().message()), EndsWith(": raise the limit on open files")) << limit;
  }
  EXPECT_GE(refused, 6);
}

TEST(FindProgram, ByPathAndInPath) {
  EXPECT_EQ(*FindProgram("/bin/sh"), "/bin/sh");
  EXPECT_THAT(*FindProgram("sh"), HasSubstr("/sh"));
  const absl::Status missing = FindProgram("/nonexistent/program").status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("can't start /nonexistent/program: No such file"));
  EXPECT_TRUE(absl::IsNotFound(FindProgram("quire-no-such-program").status()));
}

TEST_F(ChildTest, OutputOfTheLastStartIsKept) {
  std::ofstream(Output()) << "crash text\n";
  const Fd next = *OpenOutput(Output());
  EXPECT_EQ(LastLines(Output() + ".1", 1), "crash text");
  EXPECT_EQ(LastLines(Output(), 1), "");
  const absl::Status error = OpenOutput("/proc/no-such-folder/x").status();
  EXPECT_THAT(std::string(error.message()), HasSubstr("make its folder, or give another path"));
}

TEST_F(ChildTest, AStartThatSaidNothingLeavesTheCrashBeforeIt) {
  std::ofstream(Output()) << "crash text\n";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(OpenOutput(Output()).ok());
  EXPECT_EQ(LastLines(Output() + ".1", 1), "crash text");
}

TEST_F(ChildTest, LastLinesAreWhole) {
  std::ofstream(Output()) << std::string(1500, 'x') << "\n" << std::string(1500, 'y') << "\n";
  EXPECT_EQ(LastLines(Output(), 5), std::string(1500, 'y'));
  std::ofstream(Output()) << std::string(5000, 'z') << "\n";
  EXPECT_EQ(LastLines(Output(), 5), std::string(2047, 'z')) << "rather a part than nothing";
  EXPECT_EQ(LastLines(Output(), 5, 3000), std::string(2999, 'z'));
}

TEST_F(ChildTest, LastLinesAreTheLast) {
  std::ofstream(Output()) << "one\ntwo\n\nthree\n";
  EXPECT_EQ(LastLines(Output(), 2), "two\nthree");
  EXPECT_EQ(LastLines(folder_ + "/none", 2), "");
}

}  // namespace
}  // namespace quire
