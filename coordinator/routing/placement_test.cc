#include "coordinator/routing/placement.h"

#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

Candidate Group(const std::string& id, uint64_t reserved, uint64_t open, double match = 0) {
  Candidate candidate;
  candidate.id = id;
  candidate.capacity_blocks = 100;
  candidate.reserved_blocks = reserved;
  candidate.open_requests = open;
  candidate.max_requests = 10;
  candidate.prefix_match = match;
  return candidate;
}

TEST(Placement, TakesTheLeastLoadedByBlocksOrBySequences) {
  EXPECT_EQ(PickGroup({Group("a", 50, 1), Group("b", 10, 1)}, 5), 1u);
  EXPECT_EQ(PickGroup({Group("a", 10, 8), Group("b", 20, 1)}, 5), 1u);
}

TEST(Placement, NeedsRoomForTheWholeReservationAndASequence) {
  EXPECT_EQ(PickGroup({Group("a", 96, 1), Group("b", 95, 1)}, 5), 1u);
  EXPECT_EQ(PickGroup({Group("a", 96, 1)}, 5), std::nullopt);
  EXPECT_EQ(PickGroup({Group("a", 0, 10)}, 5), std::nullopt);
  EXPECT_EQ(PickGroup({}, 5), std::nullopt);
}

TEST(Placement, APrefixIsWorthSomeLoadButNotAll) {
  EXPECT_EQ(PickGroup({Group("a", 0, 0), Group("b", 40, 0, 1.0)}, 5), 1u);
  EXPECT_EQ(PickGroup({Group("a", 0, 0), Group("b", 60, 0, 1.0)}, 5), 0u);
}

TEST(Placement, AShortPrefixThatEverybodySharesPilesNothingUp) {
  EXPECT_EQ(PrefixValue(64, 64), 1.0);
  EXPECT_EQ(PrefixValue(64, 128), 0.5);
  EXPECT_EQ(PrefixValue(0, 0), 0.0);
  EXPECT_LT(PrefixValue(2, 3), 0.03);
  EXPECT_EQ(PickGroup({Group("a", 0, 1, PrefixValue(2, 3)), Group("b", 0, 0)}, 5), 1u);
}

TEST(Placement, PrefersTheNumericsThatTheRequestRanOn) {
  Candidate other = Group("a", 0, 0);
  other.same_numerics = false;
  EXPECT_EQ(PickGroup({other, Group("b", 80, 5)}, 5), 1u);
  EXPECT_EQ(PickGroup({other, Group("b", 99, 5)}, 5), 0u);  // but any is better than none
}

TEST(Placement, TiesGoToTheFewestOpenThenTheFirst) {
  EXPECT_EQ(PickGroup({Group("a", 50, 3), Group("b", 50, 2)}, 5), 1u);
  EXPECT_EQ(PickGroup({Group("a", 50, 2), Group("b", 50, 2)}, 5), 0u);
}

}  // namespace
}  // namespace quire::coordinator
