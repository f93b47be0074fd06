#include "coordinator/fleet/fleet_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/core/files.h"

namespace quire::coordinator {
namespace {

class FleetStateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_state_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/fleet.json"; }
  FleetState Load(const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(Path(), content, 0600).ok());
    absl::StatusOr<FleetState> state = LoadFleetState(Path());
    EXPECT_TRUE(state.ok()) << state.status();
    return state.value_or(FleetState{});
  }

  std::string folder_;
};

TEST_F(FleetStateTest, IsReadAsWritten) {
  const FleetState written{"boot", "pid:[1]", {{"g0", 3, "quire-x-g0-3", "f", 2, {{10, 11}, {12, 13}}}}};
  ASSERT_TRUE(SaveFleetState(Path(), written).ok());
  const FleetState read = *LoadFleetState(Path());
  EXPECT_EQ(read.boot_id, "boot");
  EXPECT_EQ(read.pid_namespace, "pid:[1]");
  ASSERT_EQ(read.groups.size(), 1u);
  EXPECT_EQ(read.groups[0].epoch, 3u);
  EXPECT_EQ(read.groups[0].shm_name, "quire-x-g0-3");
  ASSERT_EQ(read.groups[0].ranks.size(), 2u);
  EXPECT_EQ(read.groups[0].ranks[1].pid, 12);
  EXPECT_EQ(read.groups[0].ranks[1].start_time, 13u);
}

TEST_F(FleetStateTest, GroupsThatNeverStartedAreNotWritten) {
  ASSERT_TRUE(
      SaveFleetState(Path(), {"boot", "ns", {{"g0", 0, "", "", 0, {}}, {"g1", 1, "", "", 0, {}}}}).ok());
  EXPECT_TRUE(LoadFleetState(Path())->groups.empty());
}

TEST_F(FleetStateTest, ADoubtfulRankLeavesItsGroupNone) {
  for (const char* rank :
       {"7", "null", "\"7\"", "{}", R"({"pid":0,"start_time":5})", R"({"pid":1,"start_time":5})",
        R"({"pid":-1,"start_time":5})", R"({"pid":4294967303,"start_time":5})",
        R"({"pid":7.5,"start_time":5})", R"({"pid":"7","start_time":5})", R"({"pid":7})",
        R"({"pid":7,"start_time":0})", R"({"pid":7,"start_time":-5})", R"({"pid":7,"start_time":"5"})"}) {
    const FleetState state =
        Load(std::string(R"({"boot_id":"b","pid_namespace":"n","groups":[{"id":"g0","epoch":4,)") +
             R"("shm":"s","ranks":[{"pid":8,"start_time":9},)" + rank + "]}]}");
    ASSERT_EQ(state.groups.size(), 1u) << rank;
    EXPECT_EQ(state.groups[0].epoch, 4u);  // never to be started again
    EXPECT_TRUE(state.groups[0].ranks.empty()) << rank;
  }
}

TEST_F(FleetStateTest, NoSharedMemoryNoRanks) {
  const FleetState state =
      Load(R"({"groups":[{"id":"g0","epoch":4,"shm":"","ranks":[{"pid":8,"start_time":9}]}]})");
  ASSERT_EQ(state.groups.size(), 1u);
  EXPECT_TRUE(state.groups[0].ranks.empty());
}

TEST_F(FleetStateTest, GroupsThatMakeNoSenseAreNone) {
  for (const char* groups : {"7", "null", "{}", "[7,null,[]]", R"([{"epoch":4}])", R"([{"id":"g0"}])",
                             R"([{"id":"g0","epoch":0}])", R"([{"id":"g0","epoch":-1}])",
                             R"([{"id":"g0","epoch":18446744073709551615}])", R"([{"id":"../g0","epoch":4}])",
                             R"([{"id":"","epoch":4}])"}) {
    EXPECT_TRUE(Load(std::string(R"({"groups":)") + groups + "}").groups.empty()) << groups;
  }
  // Whatever may register may be recorded.
  EXPECT_EQ(Load(R"({"groups":[{"id":"pod-7_x.y","epoch":4}]})").groups.size(), 1u);
}

TEST_F(FleetStateTest, AbsentIsEmptyAndDamagedIsSaid) {
  EXPECT_TRUE(LoadFleetState(Path())->groups.empty());
  for (const char* content : {"", "{", "[]", "7"}) {
    ASSERT_TRUE(WriteFileAtomically(Path(), content, 0600).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(LoadFleetState(Path()).status())) << content;
  }
}

}  // namespace
}  // namespace quire::coordinator
