// Prices and keys.
#include <gmock/gmock.h>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

class LedgerAdminTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(test_.Start().ok()); }

  MemoryStore store_;
  TestLedger test_{&store_};
  const RequestId id_ = RequestId::Random();
};

// ---- prices ----

TEST_F(LedgerAdminTest, APriceChangeAppliesToLaterRequestsOnly) {
  ASSERT_TRUE(test_.Admit(TestLedger::AdmitOf(id_))->has_grant());
  auto price = test_.CommitFor<PriceRow>([&](auto done) {
    test_.ledger.SetPrice("m", {.prompt = 1, .cached_prompt = 1, .completion = 2}, std::move(done));
  });
  EXPECT_EQ(price->price.version, 2u);
  const RequestId later = RequestId::Random();
  EXPECT_EQ(test_.Admit(TestLedger::AdmitOf(later))->grant().price().version(), 2u);
  EXPECT_EQ(test_.Admit(TestLedger::AdmitOf(id_))->grant().price().version(), 1u);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 3)), 1200);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(later, 3)), 16);
}

TEST_F(LedgerAdminTest, TheSamePriceIsNoNewVersion) {
  auto price =
      test_.CommitFor<PriceRow>([&](auto done) { test_.ledger.SetPrice("m", kTestPrice, std::move(done)); });
  EXPECT_EQ(price->price.version, 1u);
}

// ---- keys ----

TEST_F(LedgerAdminTest, KeysNeedAFreshIdAndAnHmac) {
  const auto create = [&](const KeyRow& key) {
    return test_.CommitFor<KeyRow>([&](auto done) { test_.ledger.CreateKey(key, std::move(done)); }).status();
  };
  EXPECT_TRUE(absl::IsAlreadyExists(create(TestLedger::TestKey("key"))));
  KeyRow stray = TestLedger::TestKey("stray");
  stray.account = "";
  EXPECT_TRUE(absl::IsInvalidArgument(create(stray)));
  stray = TestLedger::TestKey("stray");
  stray.hmac = "short";
  EXPECT_TRUE(absl::IsInvalidArgument(create(stray)));
}

TEST_F(LedgerAdminTest, RevokingIsIdempotentAndKeepsTheFirstTime) {
  const auto revoke = [&](const std::string& id, int64_t at) {
    return test_.CommitFor<KeyRow>([&](auto done) { test_.ledger.RevokeKey(id, at, std::move(done)); });
  };
  EXPECT_EQ(revoke("key", 7)->revoked_ms, 7);
  EXPECT_EQ(revoke("key", 9)->revoked_ms, 7);
  EXPECT_TRUE(absl::IsNotFound(revoke("other", 9).status()));
}

// Two that make a key for a new account at once; whichever comes first, the cap is kept.
TEST_F(LedgerAdminTest, AKeyWithoutAWordOfTheCapLeavesTheCap) {
  using NewCap = Ledger::NewCap;
  const auto create = [&](const std::string& account, const std::string& id, std::optional<NewCap> cap) {
    KeyRow key = TestLedger::TestKey(id);
    key.account = account;
    test_.ledger.CreateKey(
        key, [](auto made) { EXPECT_TRUE(made.ok()); }, cap);
  };
  create("x", "x1", NewCap{500});
  create("x", "x2", std::nullopt);
  create("y", "y1", std::nullopt);
  create("y", "y2", NewCap{600});
  create("z", "z1", NewCap{700});
  create("z", "z2", NewCap{std::nullopt});
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.accounts().at("x").cap_nano_usd, 500);
  EXPECT_EQ(store_.accounts().at("y").cap_nano_usd, 600);
  EXPECT_EQ(store_.accounts().at("z").cap_nano_usd, std::nullopt);
  EXPECT_EQ(store_.keys().size(), 7u);
}

// One transaction: a key that is refused changes no cap.
TEST_F(LedgerAdminTest, ARefusedKeyLeavesTheCap) {
  const auto made = test_.CommitFor<KeyRow>([&](auto done) {
    test_.ledger.CreateKey(TestLedger::TestKey("key"), std::move(done), Ledger::NewCap{5});
  });
  EXPECT_TRUE(absl::IsAlreadyExists(made.status()));
  EXPECT_EQ(store_.accounts().at("acme").cap_nano_usd, std::nullopt);
}

TEST_F(LedgerAdminTest, TheLastAdminKeyStays) {
  for (const char* id : {"a", "b"}) {
    KeyRow key = TestLedger::TestKey(id);
    key.kind = KeyKind::kAdmin;
    test_.ledger.CreateKey(key, [](auto) {});
  }
  absl::Status first, second;  // in one transaction: each is asked for with the other one
  test_.ledger.RevokeKey("b", 5, [&](const auto& revoked) { first = revoked.status(); });
  test_.ledger.RevokeKey("a", 5, [&](const auto& revoked) { second = revoked.status(); });
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsPermissionDenied(second));
  EXPECT_EQ(store_.keys().at("a").revoked_ms, 0);
  EXPECT_EQ(store_.keys().at("b").revoked_ms, 5);
  test_.ledger.RevokeKey("b", 6, [&](const auto& revoked) { first = revoked.status(); });
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_TRUE(first.ok());  // still idempotent
}

TEST_F(LedgerAdminTest, WhyTheLedgerCantWriteIsSaid) {
  store_.FailNextCommits(CommitFault::kDiskFull);
  const auto create = [&] {
    return test_.CommitFor<KeyRow>(
        [&](auto done) { test_.ledger.CreateKey(TestLedger::TestKey("new"), std::move(done)); });
  };
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(absl::IsResourceExhausted(create().status()));
  const absl::Status refused = create().status();
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("the disk is full"));
}

}  // namespace
}  // namespace quire::coordinator
