// A driver after another: whom it leaves alone, though its records name them.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "coordinator/fleet/test_restart.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

TEST_F(RestartTest, LeavesAloneWhatIsOfAnotherBoot) {
  LeaveGroups();
  EditState([](json& state) { state["boot_id"] = "another"; });
  ExpectLeftAlone(2);
}

TEST_F(RestartTest, LeavesAloneWhatIsOfAnotherPidNamespace) {
  LeaveGroups();
  EditState([](json& state) { state["pid_namespace"] = "pid:[1]"; });
  ExpectLeftAlone(2);
}

TEST_F(RestartTest, LeavesAloneWhatSaysNoNamespace) {
  LeaveGroups();
  EditState([](json& state) { state.erase("pid_namespace"); });
  ExpectLeftAlone(2);
}

TEST_F(RestartTest, LeavesAloneAReusedPid) {
  LeaveGroups();
  json state = State();
  for (json& rank : state["groups"][0]["ranks"]) rank["start_time"] = rank["start_time"].get<uint64_t>() + 1;
  SetState(state);
  ExpectLeftAlone(2);
}

TEST_F(RestartTest, LeavesAloneWhatHasNoSharedMemoryName) {
  LeaveGroups();
  EditState([](json& state) { state["groups"][0]["shm"] = ""; });
  ExpectLeftAlone(2);
}

// X1: a bystander, recorded with its true start time, that has no such argument.
TEST_F(RestartTest, LeavesAloneABystander) {
  LeaveGroups();
  HeldChild bystander = *ForkHeld({{"/bin/sleep", "1000"}, -1, 0});
  ASSERT_TRUE(bystander.gate.Open().ok());
  json state = State();
  state["groups"][0]["ranks"][1] = {{"pid", bystander.process.pid},
                                    {"start_time", bystander.process.start_time}};
  SetState(state);
  auto second = Make({"wait"});
  ASSERT_TRUE(second->Start().ok());
  fences_.WaitForCalls("g0", 3);
  EXPECT_EQ(second->List()[0].epoch, 2u);
  EXPECT_FALSE(Lives(left_[0].pids[0]));  // ours
  second->Stop();
  EXPECT_TRUE(Lives(bystander.process.pid));
  Kill(bystander.process.pid);
  AwaitEnd(bystander.process);
  Kill(left_[0].pids[1]);
}

// An epoch that never ran here: the name it would have had is on nobody's command line.
TEST_F(RestartTest, LeavesAloneAnotherEpoch) {
  LeaveGroups();
  json state = State();
  state["groups"][0]["epoch"] = 7;
  state["groups"][0]["shm"] = FleetFiles{data_}.ShmName("g0", 7);
  SetState(state);
  ExpectLeftAlone(8);
}

TEST_F(RestartTest, ACopiedDataFolderTouchesNothingOfTheOriginal) {
  LeaveGroups();
  const std::string original = data_;
  data_ += "-copy";
  std::filesystem::copy(original, data_, std::filesystem::copy_options::recursive);
  ExpectLeftAlone(2);
  std::filesystem::remove_all(data_);
  data_ = original;
}

}  // namespace
}  // namespace quire::coordinator
