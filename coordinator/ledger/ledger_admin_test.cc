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

TEST_F(LedgerAdminTest, KeysNeedAnAccountAndAFreshId) {
  const auto create = [&](const KeyRow& key) {
    return test_.CommitFor<KeyRow>([&](auto done) { test_.ledger.CreateKey(key, std::move(done)); }).status();
  };
  EXPECT_TRUE(absl::IsAlreadyExists(create(TestLedger::TestKey("key"))));
  KeyRow stray = TestLedger::TestKey("stray");
  stray.account = "nobody";
  EXPECT_TRUE(absl::IsNotFound(create(stray)));
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

}  // namespace
}  // namespace quire::coordinator
