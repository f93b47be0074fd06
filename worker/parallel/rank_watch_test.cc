// Groups of simulated ranks, each with its own watch, over a clock that the test moves.
#include "worker/parallel/rank_watch.h"

#include <gtest/gtest.h>

#include "base/core/clock.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {
namespace {

constexpr int64_t kBeatUs = 250'000, kSilenceUs = 5'000'000, kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3600 * kSecondUs;

struct World {
  explicit World(int size) : views(size) {
    for (int r = 0; r < size; ++r) watches.emplace_back(r, size, RankWatchLimits{kBeatUs, kSilenceUs});
  }
  // Rank `r` comes to its round now.
  std::optional<RankVerdict> Round(int r) {
    ++views[r].beats;
    return watches[r].Look(clock.NowUs(), views);
  }
  // All ranks but `dead` do rounds every beat for a time; the first verdict ends it.
  std::optional<RankVerdict> Run(int64_t us, int dead = -1) {
    for (int64_t passed = 0; passed < us; passed += kBeatUs) {
      clock.AdvanceUs(kBeatUs);
      for (int r = 0; r < std::ssize(views); ++r) {
        if (r == dead) continue;
        if (auto verdict = Round(r)) return verdict;
      }
    }
    return std::nullopt;
  }

  ManualClock clock;
  std::vector<RankView> views;
  std::vector<RankWatch> watches;
};

TEST(RankWatch, NobodyIsSilentInAHealthyGroup) {
  World world(3);
  EXPECT_FALSE(world.Run(kHourUs / 10));
}

TEST(RankWatch, ASilentRankIsFoundAtTheLimit) {
  World world(3);
  ASSERT_FALSE(world.Run(10 * kSecondUs));
  const int64_t died_us = world.clock.NowUs();
  const auto verdict = world.Run(10 * kSecondUs, /*dead=*/1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fault, RankVerdict::Fault::kSilent);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_LE(world.clock.NowUs() - died_us, kSilenceUs + kBeatUs);
  EXPECT_GE(world.clock.NowUs() - died_us, kSilenceUs);
}

TEST(RankWatch, ADeadRankIsFoundAtOnce) {
  World world(2);
  ASSERT_FALSE(world.Run(kSecondUs));
  world.views[1].dead = true;
  const auto verdict = world.Run(kBeatUs, /*dead=*/1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fault, RankVerdict::Fault::kDead);
  EXPECT_EQ(verdict->rank, 1);
  world.views[1].left = true;
  EXPECT_FALSE(world.Run(kBeatUs, /*dead=*/1));
}

// A machine so busy that the beat thread never comes in time, or every other time.
TEST(RankWatch, OneThatIsAlwaysLateFindsFaultsToo) {
  for (const int64_t odd_gap_us : {2 * kBeatUs + 1000, kBeatUs}) {
    World world(2);
    world.views[0].step_limit_us = 100 * kSecondUs;
    ASSERT_FALSE(world.Run(kSecondUs));
    std::optional<RankVerdict> verdict;
    int rounds = 0;
    for (; rounds < 100 && !verdict; ++rounds) {
      world.clock.AdvanceUs(rounds % 2 == 0 ? 2 * kBeatUs + 1000 : odd_gap_us);
      verdict = world.Round(0);
    }
    ASSERT_TRUE(verdict) << odd_gap_us;
    EXPECT_EQ(verdict->rank, 1);
    EXPECT_LE(rounds, kSilenceUs / kBeatUs);
  }
}

class Pause : public ::testing::TestWithParam<int64_t> {};

TEST_P(Pause, OfAllRanksKillsNobodyInWhateverOrderTheyWake) {
  for (int first = 0; first < 3; ++first) {
    World world(3);
    ASSERT_FALSE(world.Run(10 * kSecondUs));
    world.clock.AdvanceUs(GetParam());
    // The first to wake has several rounds before the others get to run at all.
    for (int round = 0; round < 2; ++round) {
      EXPECT_FALSE(world.Round(first)) << GetParam() << " us, round " << round;
      world.clock.AdvanceUs(kBeatUs);
    }
    EXPECT_FALSE(world.Run(10 * kSecondUs));
  }
}

TEST_P(Pause, OfAllRanksHidesNoDeathInIt) {
  World world(3);
  ASSERT_FALSE(world.Run(10 * kSecondUs));
  world.clock.AdvanceUs(GetParam());
  const int64_t woken_us = world.clock.NowUs();
  const auto verdict = world.Run(10 * kSecondUs, /*dead=*/2);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_LE(world.clock.NowUs() - woken_us, kSilenceUs + kBeatUs);
}

TEST_P(Pause, OfOneRankIsItsDeathToTheOthersButNotTheirsToIt) {
  World world(3);
  ASSERT_FALSE(world.Run(10 * kSecondUs));
  const auto verdict = world.Run(GetParam() + kSilenceUs + kSecondUs, /*dead=*/0);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 0);
  EXPECT_FALSE(world.Round(0));  // it wakes
}

TEST_P(Pause, IsNoTimeInAStep) {
  World world(2);
  world.views[0].step = world.views[1].step = 7;
  world.views[0].step_limit_us = world.views[1].step_limit_us = 5 * kSecondUs;
  ASSERT_FALSE(world.Run(4 * kSecondUs));
  world.clock.AdvanceUs(GetParam());
  EXPECT_FALSE(world.Run(kSecondUs / 2));
  EXPECT_TRUE(world.Run(2 * kSecondUs));
}

INSTANTIATE_TEST_SUITE_P(Long, Pause, ::testing::Values(kSecondUs, 10 * kSecondUs, kHourUs, 24 * kHourUs));

TEST(RankWatch, AShortPauseIsNoDeathEither) {
  for (int64_t pause_us = 0; pause_us <= kSecondUs; pause_us += 10'000) {
    World world(2);
    ASSERT_FALSE(world.Run(10 * kSecondUs));
    world.clock.AdvanceUs(pause_us);
    EXPECT_FALSE(world.Run(kSecondUs)) << pause_us;
  }
}

TEST(RankWatch, AClockThatGoesBackDoesNothing) {
  World world(2);
  ASSERT_FALSE(world.Run(10 * kSecondUs));
  world.clock.AdvanceUs(-kHourUs);
  EXPECT_FALSE(world.Run(10 * kSecondUs));
  EXPECT_TRUE(world.Run(kSilenceUs + kSecondUs, /*dead=*/1));
}

TEST(RankWatch, WhoLeftOrNeverBeatIsNotWatched) {
  World world(3);
  ASSERT_FALSE(world.Run(kSecondUs));
  world.views[1].left = true;
  EXPECT_FALSE(world.Run(10 * kSecondUs, /*dead=*/1));
  World absent(2);
  EXPECT_FALSE(absent.Run(10 * kSecondUs, /*dead=*/1));
}

TEST(RankWatch, FindsAnOverdueStepOfAnyRankItselfIncluded) {
  for (int stuck : {0, 1}) {
    World world(2);
    ASSERT_FALSE(world.Run(kSecondUs));
    world.views[stuck].step = 3;
    world.views[stuck].step_limit_us = 20 * kSecondUs;
    EXPECT_FALSE(world.Run(20 * kSecondUs));
    const auto verdict = world.Run(2 * kSecondUs);
    ASSERT_TRUE(verdict);
    EXPECT_EQ(verdict->fault, RankVerdict::Fault::kOverdue);
    EXPECT_EQ(verdict->rank, stuck);
  }
}

// What rank 0 sees of a rank 1 until one of the connections between them is cut: when it says so. Its host
// acknowledges what is sent at each of rank 0's beats after `rtt_us`.
int64_t NoticedAfterUs(Flow flow, int64_t cut_at_us, int64_t rtt_us) {
  RankWatch watch(0, 2, TcpLiveness::WatchLimits(kUsualStaleMs));
  ManualClock clock;
  std::vector<RankView> views(2);
  for (;; clock.AdvanceUs(kTcpBeatUs)) {
    const auto acked_bytes = [&](int64_t until_us) -> uint64_t {
      return until_us < rtt_us ? 0 : static_cast<uint64_t>(100 * ((until_us - rtt_us) / kTcpBeatUs + 1));
    };
    ++views[0].beats;
    views[1].beats += flow != kBeatFlow || clock.NowUs() <= cut_at_us ? 1 : 0;
    for (AckState& acks : views[1].acks) acks = {acked_bytes(clock.NowUs()), true};  // of this round's own
    views[1].acks[flow].acked_bytes = acked_bytes(std::min(cut_at_us, clock.NowUs()));
    const auto verdict = watch.Look(clock.NowUs(), views);
    if (!verdict) continue;
    EXPECT_EQ(verdict->fault, RankVerdict::Fault::kCut);
    EXPECT_EQ(verdict->rank, 1);
    EXPECT_EQ(verdict->flow, flow);
    return clock.NowUs() - cut_at_us;
  }
}

// Both limits are seconds: whichever is reached first, it is the silent rank that is named.
TEST(RankWatch, ARankThatFallsSilentInAStepIsNamedAndNotWhoWaitsForIt) {
  for (const int64_t limit_us : {kSilenceUs * 3 / 4, kSilenceUs - kBeatUs, kSilenceUs, 2 * kSilenceUs}) {
    World world(3);
    ASSERT_FALSE(world.Run(kSecondUs));
    for (RankView& view : world.views) view.step = 7, view.step_limit_us = limit_us;
    const auto verdict = world.Run(kSilenceUs + kSecondUs, /*dead=*/1);
    ASSERT_TRUE(verdict) << limit_us;
    EXPECT_EQ(verdict->fault, RankVerdict::Fault::kSilent) << limit_us;
    EXPECT_EQ(verdict->rank, 1) << limit_us;
  }
}

// Nor is who was only late blamed for a rank that hangs and beats.
TEST(RankWatch, ARankThatMissesSomeBeatsIsNotTheReason) {
  World world(3);
  ASSERT_FALSE(world.Run(kSecondUs));
  world.views[0].step = 7, world.views[0].step_limit_us = kSilenceUs;
  ASSERT_FALSE(world.Run(kSilenceUs - kSilenceUs / 4));
  const auto verdict = world.Run(kSilenceUs, /*dead=*/1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fault, RankVerdict::Fault::kOverdue);
  EXPECT_EQ(verdict->rank, 0);
}

TEST(RankWatch, ACutConnectionIsNoticedIn1500MsWheneverItIsCut) {
  for (const Flow flow : {kBeatFlow, kExchangeFlow, kPlanFlow, kRecordFlow}) {
    for (const int64_t rtt_us : {100, 1000, 100'000}) {
      for (int64_t phase_us = 0; phase_us < kTcpBeatUs; phase_us += 1000) {
        const int64_t noticed_us = NoticedAfterUs(flow, 10 * kSecondUs + phase_us, rtt_us);
        EXPECT_GE(noticed_us, kSecondUs);
        EXPECT_LE(noticed_us, 3 * kSecondUs / 2);
      }
    }
  }
}

// A host whose processes all stand acknowledges; a lost packet comes late; where nothing is sent nothing is
// due.
TEST(RankWatch, AHostThatAcknowledgesLateOrHasNothingToIsNotCutOff) {
  World world(2);
  for (AckState& acks : world.views[1].acks) acks.waiting = true;
  for (int i = 0; i < 100; ++i) {
    for (AckState& acks : world.views[1].acks) ++acks.acked_bytes;
    ASSERT_FALSE(world.Run(kSecondUs, /*dead=*/1)) << i;
    ++world.views[1].beats;
  }
  for (AckState& acks : world.views[1].acks) acks.waiting = false;
  EXPECT_FALSE(world.Run(4 * kSecondUs, /*dead=*/1));
}

TEST_P(Pause, OfAllHostsCutsNobodyOff) {
  World world(2);
  const auto send = [&] {
    for (RankView& view : world.views) {
      for (AckState& acks : view.acks) acks = {acks.acked_bytes + 1, true};
    }
  };
  for (int i = 0; i < 5; ++i) {
    send();
    ASSERT_FALSE(world.Run(kBeatUs));
    world.clock.AdvanceUs(GetParam());
    ASSERT_FALSE(world.Round(0));
    ASSERT_FALSE(world.Round(1));
  }
}

TEST(RankWatch, ManyShortStepsAreNoLongOne) {
  World world(2);
  for (uint64_t step = 1; step < 100; ++step) {
    world.views[0].step = step;
    world.views[0].step_limit_us = kSecondUs;
    EXPECT_FALSE(world.Run(kSecondUs));
  }
}

}  // namespace
}  // namespace quire::worker
