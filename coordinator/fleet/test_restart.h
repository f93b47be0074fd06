// For tests only: a driver that starts where another left its groups running.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/core/files.h"
#include "coordinator/fleet/test_driver.h"

namespace quire::coordinator {

class RestartTest : public ProcessDriverTest {
 protected:
  // Leaves a group running, as a killed coordinator does, and its pids in `left_`.
  void LeaveGroups(int groups = 1) {
    auto first = Make({"wait"}, groups);
    ASSERT_TRUE(first->Start().ok());
    left_ = first->List();
    for (const DrivenGroup& group : left_) {
      for (int64_t pid : group.pids) EXPECT_TRUE(Lives(pid));
    }
  }

  void EditState(const std::function<void(nlohmann::json& state)>& edit) {
    nlohmann::json state = State();
    edit(state);
    SetState(state);
  }
  nlohmann::json State() const { return nlohmann::json::parse(*ReadWholeFile(data_ + "/fleet.json")); }
  void SetState(const nlohmann::json& state) {
    ASSERT_TRUE(WriteFileAtomically(data_ + "/fleet.json", state.dump(), 0600).ok());
  }

  // The group of another life that now runs beside what was left; nobody of `left_` was touched.
  void ExpectLeftAlone(uint64_t epoch) {
    auto second = Make({"wait"});
    ASSERT_TRUE(second->Start().ok());
    const DrivenGroup group = second->List().at(0);
    EXPECT_EQ(group.phase, GroupPhase::kRunning);
    EXPECT_EQ(group.epoch, epoch);
    for (int64_t pid : left_[0].pids) {
      EXPECT_TRUE(Lives(pid));
      EXPECT_THAT(group.pids, testing::Not(testing::Contains(pid)));
    }
    second->Stop();
    for (int64_t pid : left_[0].pids) {
      EXPECT_TRUE(Lives(pid));
      Kill(pid);
      waitpid(static_cast<pid_t>(pid), nullptr, 0);
    }
  }

  std::vector<DrivenGroup> left_;
};

}  // namespace quire::coordinator
