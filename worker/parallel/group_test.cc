// A group's own life, in all its forms: joining, agreeing, losing, leaving.
#include "worker/parallel/rank_group.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

class RankGroupTest : public ::testing::TestWithParam<GroupForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, RankGroupTest, kAllForms, NameOfForm);

TEST_P(RankGroupTest, ADeadRankLosesTheGroup) {
  const TestPlace place(GetParam());
  Notification joined;
  Notification lost;
  std::thread peer([&] {
    auto group = place.Join({.rank = 1});
    ASSERT_TRUE(group.ok());
    joined.WaitForNotification();
    // Destroyed without Leave: it gives up its place, as a killed process does.
  });
  auto group = place.Join({}, {[&] { lost.Notify(); }});
  ASSERT_TRUE(group.ok()) << group.status();
  joined.Notify();
  peer.join();
  lost.WaitForNotification();
  EXPECT_FALSE(group->liveness->Healthy());
  const auto gathered = group->rendezvous->AllGather("");
  EXPECT_TRUE(absl::IsUnavailable(gathered.status()));
  EXPECT_THAT(MessageOf(gathered.status()), HasSubstr("rank 1 is dead"));
}

TEST_P(RankGroupTest, EveryRankHearsThatOneAskedToDrain) {
  const TestPlace place(GetParam());
  Notification asked[2];
  std::latch both_joined(2), both_asked(2);
  RunRanks(2, [&](int rank) {
    const auto on_drain_asked = [&asked, rank] {
      if (!asked[rank].HasBeenNotified()) asked[rank].Notify();
    };
    auto group = place.Join({.rank = rank}, {nullptr, on_drain_asked});
    ASSERT_TRUE(group.ok()) << group.status();
    both_joined.arrive_and_wait();
    if (rank == 1) group->liveness->AskToDrain();
    asked[rank].WaitForNotification();
    EXPECT_TRUE(group->liveness->Healthy());  // asking ends nothing by itself
    both_asked.arrive_and_wait();
    group->liveness->Leave();
  });
}

TEST_P(RankGroupTest, NamesTheRankThatDoesNotCome) {
  const TestPlace place(GetParam());
  const auto alone = place.Join({.size = 3, .join_timeout_ms = 1});
  EXPECT_TRUE(absl::IsUnavailable(alone.status()));
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("rank 1 did not arrive, it is not joined yet"));
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("rank 2 did not arrive"));
}

TEST_P(RankGroupTest, NamesTheRankThatDoesNotAgreeInTime) {
  std::string reasons[2];
  Notification told;
  RunGroup(GetParam(), 2, [&](RankGroup& group) {
    if (group.rank() == 1) {
      group.liveness->Enter(Phase::kLoading);
      told.WaitForNotification();  // hangs, but beats
      reasons[1] = MessageOf(group.rendezvous->AllGather("").status());
      return;
    }
    reasons[0] = MessageOf(group.rendezvous->AllGather("", /*limit_us=*/1).status());
    told.Notify();
  });
  for (const std::string& reason : reasons)
    EXPECT_THAT(reason, HasSubstr("rank 1 did not arrive, it is loading"));
}

TEST_P(RankGroupTest, GathersRecordsOfAnyBytes) {
  RunGroup(GetParam(), 3, [](RankGroup& group) {
    for (int round = 0; round < 50; ++round) {
      const std::string mine(static_cast<size_t>(round * (group.rank() + 1)) % 100, static_cast<char>(round));
      const auto records = group.rendezvous->AllGather(mine);
      ASSERT_TRUE(records.ok()) << records.status();
      for (int r = 0; r < 3; ++r) {
        EXPECT_EQ((*records)[r],
                  std::string(static_cast<size_t>(round * (r + 1)) % 100, static_cast<char>(round)));
      }
    }
    EXPECT_TRUE(group.rendezvous->AllGather(std::string(kernels::Rendezvous::kMaxRecordBytes, 'x')).ok());
    EXPECT_TRUE(absl::IsInvalidArgument(
        group.rendezvous->AllGather(std::string(kernels::Rendezvous::kMaxRecordBytes + 1, 'x')).status()));
  });
}

// Joins as rank 0 and rank 1 with these; what each was told.
std::vector<std::string> JoinBoth(GroupForm form, const TestRank& first, const TestRank& second) {
  const TestPlace place(form);
  std::vector<std::string> told(2);
  RunRanks(2, [&](int rank) { told[rank] = MessageOf(place.Join(rank == 0 ? first : second).status()); });
  EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + place.shm()));
  return told;
}

TEST_P(RankGroupTest, AllHearWhetherEachSaysSo) {
  for (const int unwilling : {-1, 0, 2}) {
    RunGroup(GetParam(), 3, [&](RankGroup& group) {
      const auto all = AllSay(group.rank() != unwilling, *group.rendezvous);
      ASSERT_TRUE(all.ok()) << all.status();
      EXPECT_EQ(*all, unwilling == -1);
    });
  }
}

TEST_P(RankGroupTest, RefusesRanksWithDifferentBuffersAndSaysWhose) {
  for (auto [change, name] :
       {std::pair<int64_t BufferSizes::*, std::string>{&BufferSizes::exchange_bytes, "exchange"},
        {&BufferSizes::plan_bytes, "plan"}}) {
    TestRank second{.rank = 1};
    second.buffers.*change += 4096;
    for (const std::string& told : JoinBoth(GetParam(), {}, second)) {
      EXPECT_THAT(told, HasSubstr(absl::StrCat("rank 1 has ", name, " bytes")));
      EXPECT_THAT(told, HasSubstr(absl::StrCat(second.buffers.*change)));
    }
  }
}

TEST_P(RankGroupTest, RefusesRanksOfGroupsOfDifferentSize) {
  const std::vector<std::string> told = JoinBoth(GetParam(), {}, {.rank = 1, .size = 3});
  EXPECT_THAT(told[0] + told[1], HasSubstr("was started with --ranks"));
  EXPECT_FALSE(told[0].empty() || told[1].empty());
}

TEST_P(RankGroupTest, ASecondRankOfTheSameNumberIsRefusedAndDoesNoHarm) {
  const TestPlace place(GetParam());
  Notification refused;
  std::atomic<int> good{0};
  RunRanks(3, [&](int thread) {
    if (thread == 2) refused.WaitForNotification();
    const auto group = place.Join({.rank = thread == 2 ? 1 : 0});
    if (group.ok()) {
      ++good;
      group->liveness->Leave();
      return;
    }
    EXPECT_THAT(MessageOf(group.status()), HasSubstr("there is a rank 0"));
    refused.Notify();
  });
  EXPECT_EQ(good, 2);
}

TEST_P(RankGroupTest, RefusesRanksThatCanNotBe) {
  const TestPlace place(GetParam());
  EXPECT_TRUE(absl::IsInvalidArgument(place.Join({.rank = 2}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(place.Join({.size = kMaxRanks + 1}).status()));
}

TEST_P(RankGroupTest, TheFirstReasonIsTheOneThatAllTell) {
  RunGroup(GetParam(), 2, [](RankGroup& group) {
    if (group.rank() == 1) group.liveness->Lose("the disk of rank 1 is on fire");
    EXPECT_THAT(MessageOf(group.rendezvous->AllGather("").status()), HasSubstr("on fire"));
    group.liveness->Lose("another reason");
    EXPECT_THAT(MessageOf(group.liveness->LostError()), HasSubstr("on fire"));
    EXPECT_FALSE(group.liveness->Healthy());
  });
}

TEST_P(RankGroupTest, AHealthyGroupSaysSoUntilSomebodyLeaves) {
  RunGroup(GetParam(), 2, [](RankGroup& group) {
    EXPECT_TRUE(group.liveness->Healthy());
    ASSERT_TRUE(group.rendezvous->AllGather("").ok());  // nobody leaves before both have looked
    if (group.rank() == 1) group.liveness->Leave();
    while (group.liveness->Healthy()) std::this_thread::yield();
    ASSERT_TRUE(group.rendezvous->AllGather("").ok());
    EXPECT_FALSE(group.liveness->lost());
  });
}

TEST(Agreement, NamesTheFirstValueThatDiffers) {
  const RankRecord first{{"max sequences", "64"}, {"weights", "ab=c"}};
  for (size_t i = 0; i < first.size(); ++i) {
    RankRecord other = first;
    other[i].second = std::string(1, '7');
    const std::string records[] = {EncodeRecord(first), EncodeRecord(first), EncodeRecord(other)};
    EXPECT_THAT(MessageOf(CheckEqual(records)),
                HasSubstr(absl::StrCat("rank 2 has ", first[i].first, " 7, rank 0 has ", first[i].first, " ",
                                       first[i].second)));
  }
  const std::string same[] = {EncodeRecord(first), EncodeRecord(first)};
  EXPECT_TRUE(CheckEqual(same).ok());
  const std::string shorter[] = {EncodeRecord(first), EncodeRecord({first[0]})};
  EXPECT_FALSE(CheckEqual(shorter).ok());
}

}  // namespace
}  // namespace quire::worker
