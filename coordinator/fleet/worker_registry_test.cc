#include "coordinator/fleet/worker_registry.h"

#include <gtest/gtest.h>

#include "coordinator/fleet/test_group_info.h"

namespace quire::coordinator {
namespace {

v1::GroupInfo Info(uint64_t epoch) { return TestGroupInfo("g0", epoch, /*kv_blocks=*/100); }

v1::HeartbeatRequest Beat(uint64_t epoch, bool healthy) {
  v1::HeartbeatRequest beat;
  beat.set_group_id("g0");
  beat.set_epoch(epoch);
  beat.set_healthy(healthy);
  return beat;
}

GroupState StateAt(const WorkerRegistry& registry, int64_t now_us) {
  return WorkerRegistry::StateOf(*registry.Find("g0"), now_us);
}

TEST(WorkerRegistry, ServesUntilThreeBeatsAreMissing) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 0).ok());
  EXPECT_EQ(StateAt(registry, 750'000), GroupState::kServing);
  EXPECT_EQ(StateAt(registry, 750'001), GroupState::kSilent);
  EXPECT_TRUE(registry.Beat(Beat(1, true), 1'000'000));
  EXPECT_EQ(StateAt(registry, 1'700'000), GroupState::kServing);
}

TEST(WorkerRegistry, AnEpochThatNoWorkerTakesIsRefused) {
  WorkerRegistry registry;
  v1::GroupInfo info = Info(1);
  for (const uint64_t epoch : {WorkerRegistry::kMaxEpoch + 1, std::numeric_limits<uint64_t>::max()}) {
    info.set_epoch(epoch);
    EXPECT_TRUE(absl::IsInvalidArgument(registry.Register(info, 0).status())) << epoch;
  }
  info.set_epoch(WorkerRegistry::kMaxEpoch);
  EXPECT_TRUE(registry.Register(info, 0).ok());
}

TEST(WorkerRegistry, ACoordinatorThatSleptJudgesNobody) {
  for (const int64_t slept_us : {1'000'000, 10'000'000}) {
    WorkerRegistry registry;
    v1::GroupInfo other = Info(1);
    other.set_group_id("g1");
    ASSERT_TRUE(registry.Register(Info(1), 0).ok());
    ASSERT_TRUE(registry.Register(other, 0).ok());
    v1::HeartbeatRequest beat = Beat(1, true);
    beat.set_group_id("g1");
    EXPECT_TRUE(registry.Beat(beat, slept_us));
    EXPECT_EQ(StateAt(registry, slept_us), GroupState::kServing);  // g0's beat is on its way
    // While others are heard, the one that isn't is silent.
    for (int64_t us = 250'000; us <= 1'000'000; us += 250'000)
      EXPECT_TRUE(registry.Beat(beat, slept_us + us));
    EXPECT_EQ(StateAt(registry, slept_us + 1'000'000), GroupState::kSilent);
  }
}

TEST(WorkerRegistry, BelievesAnUnhealthyBeatAndABetterOne) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 0).ok());
  EXPECT_TRUE(registry.Beat(Beat(1, false), 1));
  EXPECT_EQ(StateAt(registry, 2), GroupState::kUnhealthy);
  EXPECT_TRUE(registry.Beat(Beat(1, true), 3));
  EXPECT_EQ(StateAt(registry, 4), GroupState::kServing);
}

TEST(WorkerRegistry, TheSameEpochMayComeBackButNotAnOldOne) {
  WorkerRegistry registry;
  const uint64_t first = *registry.Register(Info(5), 0);
  EXPECT_TRUE(registry.StreamEnded("g0", first));
  EXPECT_EQ(StateAt(registry, 1), GroupState::kGone);
  EXPECT_FALSE(registry.Beat(Beat(5, true), 2));  // must register again
  ASSERT_TRUE(registry.Register(Info(5), 3).ok());
  ASSERT_TRUE(registry.Register(Info(6), 4).ok());
  EXPECT_EQ(registry.Register(Info(5), 5).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(registry.Beat(Beat(5, true), 6));
  EXPECT_EQ(registry.Find("g0")->info.epoch(), 6u);
}

TEST(WorkerRegistry, AnEndedStreamOfAReplacedRegistrationChangesNothing) {
  WorkerRegistry registry;
  const uint64_t first = *registry.Register(Info(1), 0);
  ASSERT_TRUE(registry.Register(Info(1), 1).ok());  // reconnected before the old stream's end was seen
  EXPECT_FALSE(registry.StreamEnded("g0", first));
  EXPECT_EQ(StateAt(registry, 2), GroupState::kServing);
}

TEST(WorkerRegistry, AFenceRemovesTheGroupAndOutlivesIt) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 0).ok());
  registry.Fence("g0", 2);
  EXPECT_EQ(registry.Find("g0"), nullptr);
  EXPECT_FALSE(registry.Register(Info(1), 1).ok());
  registry.Fence("g0", 1);  // never lowered
  EXPECT_EQ(registry.FirstValidEpoch("g0"), 2u);
}

TEST(WorkerRegistry, AGroupThatIsGoneForAnHourIsForgottenButNotItsEpoch) {
  WorkerRegistry registry;
  const uint64_t gone = *registry.Register(Info(3), 0);
  registry.StreamEnded("g0", gone);
  v1::GroupInfo other = Info(1);
  other.set_group_id("g1");
  ASSERT_TRUE(registry.Register(other, WorkerRegistry::kForgetGoneUs).ok());
  EXPECT_NE(registry.Find("g0"), nullptr);
  v1::HeartbeatRequest beat = Beat(1, true);
  beat.set_group_id("g1");
  EXPECT_TRUE(registry.Beat(beat, WorkerRegistry::kForgetGoneUs + 1));
  EXPECT_EQ(registry.Find("g0"), nullptr);
  EXPECT_NE(registry.Find("g1"), nullptr);
  EXPECT_FALSE(registry.Register(Info(2), WorkerRegistry::kForgetGoneUs + 2).ok());
}

TEST(WorkerRegistry, TheGroupsOfABundleAreAskedToRegisterAgain) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 0).ok());
  registry.AskToRegister(std::string(32, 'e'));  // nobody's
  EXPECT_TRUE(registry.Beat(Beat(1, true), 1));
  registry.AskToRegister(Info(1).bundle_digest());
  EXPECT_FALSE(registry.Beat(Beat(1, true), 700'000));
  EXPECT_EQ(StateAt(registry, 1'400'000), GroupState::kServing);  // it was heard, and serves on
  ASSERT_TRUE(registry.Register(Info(1), 1'500'000).ok());
  EXPECT_TRUE(registry.Beat(Beat(1, true), 1'600'000));
}

TEST(WorkerRegistry, AGroupThatRegistersAgainIsWhatItsLastBeatSaid) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 0).ok());
  v1::HeartbeatRequest draining = Beat(1, true);
  draining.set_draining(true);
  for (const auto& [beat, state] :
       {std::pair(draining, GroupState::kDraining), {Beat(1, false), GroupState::kUnhealthy}}) {
    EXPECT_TRUE(registry.Beat(beat, 1));
    ASSERT_TRUE(registry.Register(Info(1), 2).ok());
    EXPECT_EQ(StateAt(registry, 3), state);
  }
  ASSERT_TRUE(registry.Register(Info(2), 4).ok());  // another life
  EXPECT_EQ(StateAt(registry, 5), GroupState::kServing);
}

// They are parts of names of files and shared memory.
TEST(WorkerRegistry, AGroupsIdIsLettersDigitsDashesAndDots) {
  for (const std::string& id :
       {std::string("g0"), std::string("a"), std::string("Pod-7_x.y"), std::string(128, 'g')}) {
    EXPECT_TRUE(WorkerRegistry::IsGroupId(id)) << id;
  }
  for (const std::string& id : {std::string(), std::string(129, 'g'), std::string("../x"), std::string("a/b"),
                                std::string("a b"), std::string("a\0b", 3), std::string("\xc3\xa4")}) {
    EXPECT_FALSE(WorkerRegistry::IsGroupId(id)) << id;
  }
}

TEST(WorkerRegistry, RefusesFactsThatMakeNoSense) {
  WorkerRegistry registry;
  auto refused = [&](auto change) {
    v1::GroupInfo info = Info(1);
    change(info);
    return registry.Register(info, 0).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](auto& info) { info.set_group_id("../x"); }));
  EXPECT_TRUE(refused([](auto& info) { info.set_kv_blocks(0); }));
  // Counts whose tokens overflow.
  EXPECT_TRUE(refused([](auto& info) { info.set_kv_blocks(uint64_t{1} << 60); }));
  EXPECT_TRUE(refused([](auto& info) { info.set_max_context(std::numeric_limits<uint64_t>::max()); }));
  EXPECT_TRUE(refused([](auto& info) { info.set_block_tokens(7); }));
  EXPECT_TRUE(refused([](auto& info) { info.set_plain_context(2048); }));
  EXPECT_TRUE(refused([](auto& info) { info.set_bundle_digest("short"); }));
  EXPECT_TRUE(refused([](auto& info) { info.clear_model(); }));
}

TEST(WorkerRegistry, KnowsSinceWhenAnEpochServes) {
  WorkerRegistry registry;
  ASSERT_TRUE(registry.Register(Info(1), 10).ok());
  ASSERT_TRUE(registry.Register(Info(1), 20).ok());  // the same one, back again
  EXPECT_EQ(registry.Find("g0")->registered_us, 10);
  ASSERT_TRUE(registry.Register(Info(2), 30).ok());
  EXPECT_EQ(registry.Find("g0")->registered_us, 30);
}

}  // namespace
}  // namespace quire::coordinator
