// A driver after another: what it adopts and what it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "base/core/files.h"
#include "base/core/test_log.h"
#include "coordinator/fleet/test_restart.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST_F(RestartTest, AdoptsTheLiving) {
  LeaveGroups();
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[0].pids, left_[0].pids);
  EXPECT_EQ(second->List()[0].epoch, 1u);
  Kill(left_[0].pids[0]);  // adopted ones are watched too
  fences_.WaitFor("g0", 2);
  second->Stop();
}

// How a process ended that is another's child nobody can say: what the group said last decides.
TEST_F(RestartTest, AnAdoptedGroupThatDrainedHasNotFailed) {
  for (const bool draining : {true, false}) {
    LeaveGroups();
    std::signal(SIGCHLD, SIG_IGN);  // their ends are lost, as those of a predecessor's children are
    ProcessDriver::Config config = Config({"wait"}, /*groups=*/1, /*ranks=*/2);
    config.served = [draining](const std::string&, uint64_t) {
      return ProcessDriver::ServedRun{.ms = 1, .draining = draining};
    };
    Fences fences;
    ProcessDriver second(config, clock_, fences.Sink());
    ASSERT_TRUE(second.Start().ok());
    Kill(left_[0].pids[0]);
    fences.WaitForCalls("g0", 3);
    EXPECT_EQ(second.List()[0].restarts, draining ? 0u : 1u);
    second.Stop();
    std::signal(SIGCHLD, SIG_DFL);
  }
}

// What it logged long before it was killed is not why it ended.
TEST_F(RestartTest, AnEndThatNobodySawIsNotToldByAnOldLogLine) {
  const CapturedLog captured;
  LeaveGroups();
  std::signal(SIGCHLD, SIG_IGN);
  const std::string lines = R"({"level":"error","event":"group_lost","why":"of an earlier run"})"
                            "\n"
                            R"({"level":"info","event":"registered"})"
                            "\n";
  ASSERT_TRUE(WriteFileAtomically(data_ + "/logs/g0-rank0.log", lines, 0600).ok());
  ProcessDriver::Config config = Config({"wait"}, /*groups=*/1, /*ranks=*/2);
  config.served = [](const std::string&, uint64_t) { return ProcessDriver::ServedRun{.ms = 1}; };
  Fences fences;
  {
    ProcessDriver second(config, clock_, fences.Sink());
    ASSERT_TRUE(second.Start().ok());
    Kill(left_[0].pids[0]);
    fences.WaitForCalls("g0", 3);
    EXPECT_THAT(second.List()[0].last_exit, HasSubstr("earlier coordinator"));
    second.Stop();
  }
  std::signal(SIGCHLD, SIG_DFL);
  EXPECT_EQ(captured.Count("group_lost"), 1);
  EXPECT_THAT(captured.Text(), HasSubstr(R"("last_line":"")"));
}

TEST_F(RestartTest, WhatIsRecordedCanBeEndedWithoutACommand) {
  LeaveGroups(/*groups=*/2);
  ASSERT_TRUE(EndRecordedGroups(data_).ok());
  for (const DrivenGroup& group : left_) {
    for (int64_t pid : group.pids) EXPECT_FALSE(Lives(pid));
  }
  auto second = Make({"wait"}, /*groups=*/2);
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[1].epoch, 2u) << "their epochs are remembered";
  second->Stop();
}

// As after its data folder was moved: what runs is named after the old one.
TEST_F(RestartTest, WhatIsRecordedElsewhereIsLeftAndSaid) {
  LeaveGroups();
  const std::string moved = data_ + "-moved";
  std::filesystem::copy(data_, moved, std::filesystem::copy_options::recursive);
  const absl::Status refused = EndRecordedGroups(moved);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("by hand"));
  for (int64_t pid : left_[0].pids) EXPECT_TRUE(Lives(pid));
  ASSERT_TRUE(EndRecordedGroups(data_).ok());
  for (int64_t pid : left_[0].pids) EXPECT_FALSE(Lives(pid));
  EXPECT_TRUE(EndRecordedGroups(moved).ok()) << "now none of them runs";
  std::filesystem::remove_all(moved);
}

// What docs/OPERATIONS.md says of a fleet.json that is no more: the epochs are known from epochs.json, too.
TEST_F(RestartTest, AGroupStartsAboveEveryEpochThatItIsKnownToHaveHad) {
  ProcessDriver::Config config = Config({"wait"}, /*groups=*/2, /*ranks=*/1);
  config.past_epochs = {{"g0", 40}, {"other", 7}};
  auto first = MakeWith(config);
  ASSERT_TRUE(first->Start().ok());
  EXPECT_EQ(first->List()[0].epoch, 41u);
  EXPECT_EQ(first->List()[1].epoch, 1u);
  first->Stop();
  config.past_epochs = {{"g0", 20}};
  auto second = MakeWith(config);
  ASSERT_TRUE(second->Start().ok());
  EXPECT_EQ(second->List()[0].epoch, 42u) << "fleet.json knows better";
  second->Stop();
}

TEST_F(RestartTest, WhatRunsBelowAKnownEpochIsEndedAndNotAdopted) {
  LeaveGroups();
  ProcessDriver::Config config = Config({"wait"}, /*groups=*/1, /*ranks=*/2);
  config.past_epochs = {{"g0", 40}};
  auto second = MakeWith(config);
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitFor("g0", 41);
  fences_.WaitUntil("g0", [&] { return second->List()[0].phase == GroupPhase::kRunning; });
  EXPECT_EQ(second->List()[0].epoch, 41u);
  for (int64_t pid : left_[0].pids) EXPECT_FALSE(Lives(pid));
  second->Stop();
}

// C11, second half: the new epoch starts when the old one's processes are gone, not before.
TEST_F(RestartTest, AnotherCommandStartsAnewOnceTheOldOnesAreGone) {
  LeaveGroups();
  int starts = 0;
  fences_.on_fence = [&](const std::string&, uint64_t epoch) {
    if (epoch != 2 || ++starts != 2)
      return;  // the first is the end of epoch 1, the second the start of epoch 2
    for (int64_t pid : left_[0].pids) EXPECT_FALSE(Lives(pid));
  };
  auto second = Make({"wait", "--model", "other"});
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitForCalls("g0", 3);
  EXPECT_EQ(second->List()[0].epoch, 2u);
  EXPECT_EQ(second->List()[0].phase, GroupPhase::kRunning);
  EXPECT_EQ(second->List()[0].restarts, 0u);
  second->Stop();
}

// A container that gets another quota restarts the coordinator: its groups' loaded weights need not go for
// it.
TEST_F(RestartTest, WhatWasChosenFromTheHostIsNoReasonToStartAnew) {
  const auto config = [&](const std::string& threads, const std::string& given) {
    ProcessDriver::Config made = Config({"wait", given, "--threads", threads}, /*groups=*/1, /*ranks=*/2);
    made.lasting_command = Config({"wait", given}, 1, 2).command;
    return made;
  };
  {
    auto first = MakeWith(config("4", "given"));
    ASSERT_TRUE(first->Start().ok());
    left_ = first->List();
  }
  {
    auto second = MakeWith(config("2", "given"));
    ASSERT_TRUE(second->Start().ok());
    EXPECT_EQ(second->List()[0].pids, left_[0].pids);
    EXPECT_EQ(second->List()[0].epoch, 1u);
  }
  auto third = MakeWith(config("2", "given otherwise"));
  ASSERT_TRUE(third->Start().ok());
  fences_.WaitFor("g0", 2);
  fences_.WaitUntil("g0", [&] { return third->List()[0].phase == GroupPhase::kRunning; });
  EXPECT_EQ(third->List()[0].epoch, 2u);
  third->Stop();
}

TEST_F(RestartTest, AnUpgradeInPlaceStartsAnew) {
  program_ = data_ + "/quire-worker";
  std::filesystem::copy_file(QUIRE_TEST_CHILD, program_);
  LeaveGroups();
  std::filesystem::copy_file(QUIRE_TEST_CHILD, program_ + ".new");
  std::filesystem::rename(program_ + ".new", program_);
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitForCalls("g0", 3);
  EXPECT_EQ(second->List()[0].epoch, 2u);
  for (int64_t pid : left_[0].pids) EXPECT_FALSE(Lives(pid));
  second->Stop();
}

// As amid an upgrade, or on a disk that isn't mounted yet. What the program was is remembered for when it is
// back.
TEST_F(RestartTest, AHealthyGroupIsAdoptedThoughItsProgramIsMissing) {
  program_ = data_ + "/quire-worker";
  std::filesystem::copy_file(QUIRE_TEST_CHILD, program_);
  LeaveGroups();
  std::filesystem::remove(program_);
  {
    auto second = Make({"wait"});
    ASSERT_TRUE(second->Start().ok());
    EXPECT_EQ(second->List()[0].phase, GroupPhase::kRunning);
    EXPECT_EQ(second->List()[0].pids, left_[0].pids);
  }
  for (int64_t pid : left_[0].pids) EXPECT_TRUE(Lives(pid));
  std::filesystem::copy_file(QUIRE_TEST_CHILD, program_);
  auto third = Make({"wait"});
  ASSERT_TRUE(third->Start().ok());
  fences_.WaitFor("g0", 2);
  fences_.WaitUntil("g0", [&] { return third->List()[0].phase == GroupPhase::kRunning; });
  EXPECT_EQ(third->List()[0].epoch, 2u) << "an upgrade";
  for (int64_t pid : left_[0].pids) EXPECT_FALSE(Lives(pid));
  third->Stop();
}

TEST_F(RestartTest, OneDeadRankEndsTheRest) {
  LeaveGroups();
  Kill(left_[0].pids[0]);
  waitpid(static_cast<pid_t>(left_[0].pids[0]), nullptr, 0);
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitForCalls("g0", 3);
  EXPECT_EQ(second->List()[0].epoch, 2u);
  EXPECT_FALSE(Lives(left_[0].pids[1]));
  second->Stop();
}

TEST_F(RestartTest, FewerGroupsEndTheOthersAndRememberTheirEpoch) {
  LeaveGroups(/*groups=*/2);
  {
    auto second = Make({"wait"}, /*groups=*/1);
    ASSERT_TRUE(second->Start().ok());
    EXPECT_EQ(second->List().size(), 1u);
    EXPECT_EQ(second->List()[0].pids, left_[0].pids);
    second->Stop();  // waits for the end of those it doesn't want, too
  }
  for (int64_t pid : left_[1].pids) EXPECT_FALSE(Lives(pid));
  auto third = Make({"wait"}, /*groups=*/2);
  ASSERT_TRUE(third->Start().ok());
  EXPECT_EQ(third->List().at(1).epoch, 2u);
  third->Stop();
}

// Between the fork and the exec: a rank has no command line of its own yet, but writes its errors to our
// file.
TEST_F(RestartTest, EndsWhatHasNotBecomeItsProgramYet) {
  LeaveGroups();
  json state = State();
  const std::string errors = data_ + "/logs/g0-rank0.err";
  const Fd output = *OpenOutput(errors);
  HeldChild held = *ForkHeld({{QUIRE_TEST_CHILD, "wait"}, output.get(), 0});
  while (!WritesErrorsTo(held.process, errors))
    std::this_thread::yield();  // it arranges its descriptors first
  state["groups"][0]["ranks"][0] = {{"pid", held.process.pid}, {"start_time", held.process.start_time}};
  SetState(state);
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitForCalls("g0", 3);
  EXPECT_FALSE(Lives(held.process.pid));
  EXPECT_FALSE(Lives(left_[0].pids[1]));
  EXPECT_EQ(second->List()[0].epoch, 2u);
  second->Stop();
  Kill(left_[0].pids[0]);  // the one whose place in the record the other took: not recorded, so not touched
}

TEST_F(RestartTest, NeverStartedGroupsAreNotRecorded) {
  auto driver = Make({"wait"}, /*groups=*/3);
  int records = 0;
  fences_.on_fence = [&](const std::string& id, uint64_t) {
    const absl::StatusOr<FleetState> state = LoadFleetState(data_ + "/fleet.json");
    ASSERT_TRUE(state.ok());
    for (const RecordedGroup& group : state->groups) {
      ++records;
      EXPECT_NE(group.id, id) << "it is about to start";
      EXPECT_EQ(group.ranks.size(), 2u);
      EXPECT_FALSE(group.shm_name.empty());
    }
  };
  ASSERT_TRUE(driver->Start().ok());
  EXPECT_EQ(records, 0 + 1 + 2);
  fences_.on_fence = nullptr;
  driver->Stop();
}

TEST_F(RestartTest, RefusesADamagedStateFile) {
  ASSERT_TRUE(WriteFileAtomically(data_ + "/fleet.json", "{", 0600).ok());
  const absl::Status status = Make({"wait"})->Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fleet.json"));
}

}  // namespace
}  // namespace quire::coordinator
