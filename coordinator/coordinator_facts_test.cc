// What gateways learn of keys, models and bundles, whatever its size and state.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "coordinator/coordinator_test_fixture.h"
#include "coordinator/ledger/sqlite.h"
#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {
namespace {

TEST_F(CoordinatorTest, WatchGivesTheStateThenTheChanges) {
  auto group = Group("g0", 1);
  EXPECT_TRUE(group->was_asked_for_bundle());
  TestWatch watch(*gateway_);
  const auto state = watch.UntilSynced();
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(state[0].key().key_id(), key_id_);  // the admin key is not a gateway's business
  EXPECT_EQ(state[0].key().cache_salt().size(), 32u);
  EXPECT_EQ(state[1].model().model(), "tiny");
  EXPECT_EQ(state[1].model().max_context(), 1600u);  // 100 blocks
  EXPECT_EQ(state[1].model().price().prompt_nano_usd(), 75);
  EXPECT_EQ(*gateway_->FetchBundle(state[1].model().bundle_digest()), TestBundle());
  const auto made = operator_->Call("POST", "/admin/v1/keys", R"({"name":"n"})");
  const v1::WatchEvent added = watch.Next();
  EXPECT_EQ(added.key().key_id(), made.body["id"]);
  EXPECT_NE(added.key().key_hmac(), "");
  EXPECT_EQ(operator_->Call("DELETE", KeyPath(added.key().key_id())).status, 200);
  EXPECT_EQ(watch.Next().key_removed(), added.key().key_id());
  EXPECT_EQ(gateway_->Admit(RequestId::Random(), added.key().key_id()).refusal->reason(), v1::REFUSAL_KEY);
}

// More facts than any queue holds, read by somebody who takes his time.
TEST_F(CoordinatorTest, WatchGivesAStateOfAnySize) {
  coordinator_.reset();
  constexpr size_t kKeys = 70'000;
  {
    auto store = SqliteStore::Open(config_.data + "/ledger.db");
    ASSERT_TRUE(store.ok());
    LedgerBatch batch;
    batch.term = *(*store)->TakeOver();
    for (size_t i = 0; i < kKeys; ++i) {
      KeyRow key;
      key.id = absl::StrCat("key-", i);
      key.hmac = std::string(32, 'h');
      key.account = "default";
      batch.keys.push_back(key);
    }
    ASSERT_TRUE((*store)->Commit(batch).ok());
  }
  Begin();
  TestWatch watch(*gateway_);
  const auto made = operator_->Call("POST", "/admin/v1/keys", R"({"name":"n"})");  // while it is sent
  EXPECT_GE(watch.UntilSynced().size(), kKeys + 1);
}

TEST_F(CoordinatorTest, ABundleWithAnotherDigestIsRefused) {
  auto group = NewGroup("g0", 1);
  EXPECT_EQ(group->Register("something else").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(gateway_->FetchBundle(group->info.bundle_digest()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(gateway_->FetchBundle("short").status().code(), absl::StatusCode::kInvalidArgument);
}

// A gateway that asks in vain is how it is found out: no restart is needed to mend it.
TEST_F(CoordinatorTest, ADamagedBundleIsBroughtAgainByTheGroupsThatHaveIt) {
  auto group = Group("g0", 1);
  auto others = NewGroup("g1", 1);
  others->info.set_model("other");
  others->info.set_bundle_digest(ToBytes(Sha256("another")));
  ASSERT_TRUE(others->Register("another").ok());
  const std::string digest = group->info.bundle_digest();
  ASSERT_EQ(*gateway_->FetchBundle(digest), TestBundle());
  ASSERT_TRUE(group->Beat());
  {
    auto database = *SqliteDatabase::Open(config_.data + "/bundles.db", SqliteMode::kReadWrite);
    ASSERT_TRUE(database->Query("UPDATE blob SET bytes = x'00'").Run().ok());
  }
  EXPECT_EQ(gateway_->FetchBundle(digest).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(gateway_->Admit(RequestId::Random(), key_id_).placement);  // it serves on
  EXPECT_FALSE(group->Beat());                                           // told to register again
  EXPECT_TRUE(others->Beat());
  auto again = Group("g0", 1);
  EXPECT_TRUE(again->was_asked_for_bundle());
  EXPECT_TRUE(again->Beat());
  EXPECT_EQ(*gateway_->FetchBundle(digest), TestBundle());
}

// What may still be there is nobody's to bring again: the groups serve on, and nobody registers in vain.
TEST_F(CoordinatorTest, ABundleThatCantBeReadTakesNoGroupDown) {
  auto group = Group("g0", 1);
  const std::string digest = group->info.bundle_digest();
  const auto database = *SqliteDatabase::Open(config_.data + "/bundles.db", SqliteMode::kReadWrite);
  ASSERT_TRUE(database->Query("ALTER TABLE blob RENAME TO gone").Run().ok());
  const absl::Status unreadable = gateway_->FetchBundle(digest).status();
  EXPECT_FALSE(unreadable.ok());
  EXPECT_FALSE(absl::IsNotFound(unreadable)) << unreadable;
  EXPECT_TRUE(group->Beat());
  ASSERT_TRUE(database->Query("ALTER TABLE gone RENAME TO blob").Run().ok());
  EXPECT_EQ(*gateway_->FetchBundle(digest), TestBundle());
  EXPECT_TRUE(group->Beat());
}

// It is read, but neither good nor to be removed.
TEST_F(CoordinatorTest, ADamagedBundleThatCantBeRemovedTakesNoGroupDown) {
  auto group = Group("g0", 1);
  const auto database = *SqliteDatabase::Open(config_.data + "/bundles.db", SqliteMode::kReadWrite);
  ASSERT_TRUE(database->Query("UPDATE blob SET bytes = x'00'").Run().ok());
  ASSERT_TRUE(
      database->Query("CREATE TRIGGER keeps BEFORE DELETE ON blob BEGIN SELECT RAISE(ABORT, 'sick'); END")
          .Run()
          .ok());
  EXPECT_FALSE(gateway_->FetchBundle(group->info.bundle_digest()).ok());
  EXPECT_TRUE(group->Beat());
}

}  // namespace
}  // namespace quire::coordinator
