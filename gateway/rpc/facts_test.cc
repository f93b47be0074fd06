#include "gateway/rpc/facts.h"

#include <gtest/gtest.h>

namespace quire::gateway {
namespace {

v1::WatchEvent Key(const std::string& id) {
  v1::WatchEvent event;
  event.mutable_key()->set_key_id(id);
  return event;
}
v1::WatchEvent KeyRemoved(const std::string& id) {
  v1::WatchEvent event;
  event.set_key_removed(id);
  return event;
}
v1::WatchEvent Model(const std::string& name) {
  v1::WatchEvent event;
  event.mutable_model()->set_model(name);
  return event;
}
v1::WatchEvent Synced() {
  v1::WatchEvent event;
  event.set_synced(true);
  return event;
}

TEST(FactsTest, NothingIsSeenBeforeTheFirstFullState) {
  Facts facts;
  facts.BeginStream(0);
  EXPECT_FALSE(facts.Apply(Key("k")));
  EXPECT_FALSE(facts.Apply(Model("m")));
  EXPECT_EQ(facts.FindKey("k"), nullptr);
  EXPECT_FALSE(facts.synced());
  EXPECT_TRUE(facts.Apply(Synced()));
  EXPECT_TRUE(facts.synced());
  EXPECT_NE(facts.FindKey("k"), nullptr);
  EXPECT_EQ(facts.Models().size(), 1u);
}

TEST(FactsTest, TheyAreCurrentWhileTheirStreamStands) {
  Facts facts;
  EXPECT_FALSE(facts.current());
  facts.BeginStream(0);
  facts.Apply(Synced());
  EXPECT_TRUE(facts.current());
  facts.BeginStream(0);
  EXPECT_FALSE(facts.current());
  EXPECT_TRUE(facts.synced());
  facts.Apply(Synced());
  EXPECT_TRUE(facts.current());
}

// Streams that bring nothing, one after another, are one absence.
TEST(FactsTest, TheyAreAwayFromTheirStreamsEndToTheNextFullState) {
  Facts facts;
  EXPECT_EQ(facts.AwayForUs(3), std::nullopt);
  facts.BeginStream(5);
  EXPECT_EQ(facts.AwayForUs(7), 2);
  facts.Apply(Synced());
  EXPECT_EQ(facts.AwayForUs(8), std::nullopt);
  facts.BeginStream(100);
  facts.Apply(Key("k"));
  facts.BeginStream(200);
  EXPECT_EQ(facts.AwayForUs(250), 150);
  facts.Apply(Synced());
  EXPECT_EQ(facts.AwayForUs(300), std::nullopt);
}

// The coordinator may have been back for long when we wake.
TEST(FactsTest, ASleepOfOursIsNoAbsenceOfTheirs) {
  constexpr int64_t kSecondUs = 1'000'000;
  Facts facts;
  facts.BeginStream(0);
  facts.BeginStream(1 * kSecondUs);
  EXPECT_EQ(facts.AwayForUs(3600 * kSecondUs), 7 * kSecondUs) << "more than a try never takes";
  facts.BeginStream(3600 * kSecondUs);
  EXPECT_EQ(facts.AwayForUs(3602 * kSecondUs), 9 * kSecondUs);
  for (int64_t second = 3602; second < 3700; ++second) facts.BeginStream(second * kSecondUs);
  EXPECT_EQ(facts.AwayForUs(3700 * kSecondUs), 107 * kSecondUs);
}

TEST(FactsTest, ChangesAfterSyncedCountAtOnce) {
  Facts facts;
  facts.BeginStream(0);
  facts.Apply(Synced());
  EXPECT_FALSE(facts.Apply(Key("k")));
  EXPECT_NE(facts.FindKey("k"), nullptr);
  facts.Apply(KeyRemoved("k"));
  EXPECT_EQ(facts.FindKey("k"), nullptr);
  EXPECT_TRUE(facts.Apply(Model("m")));
  EXPECT_NE(facts.FindModel("m"), nullptr);
}

TEST(FactsTest, AReconnectKeepsTheOldStateUntilTheNewOneIsWhole) {
  Facts facts;
  facts.BeginStream(0);
  facts.Apply(Key("old"));
  facts.Apply(Synced());
  facts.BeginStream(0);
  facts.Apply(Key("new"));
  EXPECT_NE(facts.FindKey("old"), nullptr);
  EXPECT_EQ(facts.FindKey("new"), nullptr);
  facts.Apply(Synced());
  EXPECT_EQ(facts.FindKey("old"), nullptr);  // revoked while we were away
  EXPECT_NE(facts.FindKey("new"), nullptr);
}

}  // namespace
}  // namespace quire::gateway
