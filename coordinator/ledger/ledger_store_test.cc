// What every LedgerStore must do, run on each implementation.
#include "coordinator/ledger/ledger_store.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"
#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {
namespace {

using ::testing::UnorderedElementsAre;

class LedgerStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "memory") {
      store_ = std::make_unique<MemoryStore>();
    } else {
      path_ = ::testing::TempDir() + "ledger_store_test_" + RequestId::Random().ToHex() + ".db";
      store_ = *SqliteStore::Open(path_);
    }
    term_ = *store_->TakeOver();
  }
  void TearDown() override {
    store_.reset();
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + end);
  }

  LedgerBatch Batch() const {
    LedgerBatch batch;
    batch.term = term_;
    batch.unix_ms = 1000;
    return batch;
  }
  static RequestRow OpenRow(const RequestId& id) {
    RequestRow row;
    row.id = id;
    row.account = "acme";
    row.key_id = "key";
    row.model = "m";
    row.price_version = 1;
    row.choices = 2;
    row.max_tokens = 100;
    row.prompt_tokens = 10;
    row.granted = 20;
    row.held_nano_usd = 3750;
    row.delivered = {{0, 4}, {1, 5}};
    return row;
  }
  static EntryRow EntryOf(const RequestRow& row) {
    return {.id = row.id,
            .account = row.account,
            .key_id = row.key_id,
            .model = row.model,
            .price_version = 1,
            .billed = {.prompt = 10, .cached = 2, .completion = 9},
            .amount_nano_usd = 2000};
  }

  std::string path_;
  std::unique_ptr<LedgerStore> store_;
  uint64_t term_ = 0;
};

TEST_P(LedgerStoreTest, ForgetsOnlyWhatMayBeAndTheOldestFirst) {
  std::vector<RequestRow> rows;
  for (int i = 0; i < 4; ++i) {
    LedgerBatch batch = Batch();
    batch.unix_ms = 1000 + i;
    rows.push_back(OpenRow(RequestId::Random()));
    if (i > 0) rows.back().state = RequestState::kClosed;
    if (i > 1) rows.back().delivered.clear();
    rows.back().forgettable = i > 1;
    batch.requests = {rows.back()};
    ASSERT_TRUE(store_->Commit(batch).ok());
  }
  EXPECT_EQ((*store_->Find(rows[2].id))->row, rows[2]);
  const auto forget = [&](int64_t before_ms, uint64_t most) {
    LedgerBatch batch = Batch();
    batch.forget_before_ms = before_ms;
    batch.forget_most = most;
    ASSERT_TRUE(store_->Commit(batch).ok());
  };
  const auto left = [&] {
    std::string digits;
    for (size_t i = 0; i < rows.size(); ++i)
      digits += (*store_->Find(rows[i].id)).has_value() ? std::to_string(i) : "";
    return digits;
  };
  forget(1002, 10);
  EXPECT_EQ(left(), "0123");
  forget(2000, 0);
  EXPECT_EQ(left(), "0123");
  forget(2000, 1);
  EXPECT_EQ(left(), "013");
  forget(2000, 10);
  EXPECT_EQ(left(), "01");
}

TEST_P(LedgerStoreTest, LoadsWhatWasCommitted) {
  LedgerBatch batch = Batch();
  const AccountRow capped{.id = "acme", .cap_nano_usd = 5, .balance_nano_usd = 6, .held_nano_usd = 7};
  const AccountRow uncapped{.id = "b'; DROP TABLE account; --", .cap_nano_usd = std::nullopt};
  KeyRow key = TestLedger::TestKey("key");
  key.hmac[5] = '\0';
  key.models = {"m", "n"};
  key.kind = KeyKind::kAdmin;
  const PriceRow first{"m", kTestPrice};
  const PriceRow second{"m", {.version = 2, .prompt = 1, .cached_prompt = 2, .completion = 3}};
  RequestRow row = OpenRow(RequestId::Random());
  batch.accounts = {capped, uncapped};
  batch.keys = {key};
  batch.prices = {first, second};
  batch.requests = {row};
  ASSERT_TRUE(store_->Commit(batch).ok());

  const LedgerState state = *store_->Load();
  EXPECT_THAT(state.accounts, UnorderedElementsAre(capped, uncapped));
  EXPECT_THAT(state.keys, UnorderedElementsAre(key));
  EXPECT_THAT(state.prices, ::testing::ElementsAre(first, second));
  EXPECT_THAT(state.open_requests, UnorderedElementsAre(row));
}

TEST_P(LedgerStoreTest, LaterRowsReplaceEarlierOnes) {
  LedgerBatch batch = Batch();
  RequestRow row = OpenRow(RequestId::Random());
  KeyRow key = TestLedger::TestKey("key");
  batch.accounts = {{.id = "acme", .cap_nano_usd = 5, .balance_nano_usd = 0, .held_nano_usd = 3750}};
  batch.requests = {row};
  batch.keys = {key};
  ASSERT_TRUE(store_->Commit(batch).ok());
  row.delivered = {{0, 14}, {1, 5}};
  row.cached_tokens = 3;
  row.granted = 40;
  row.held_nano_usd = 5000;
  key.revoked_ms = 77;
  batch.accounts = {
      {.id = "acme", .cap_nano_usd = std::nullopt, .balance_nano_usd = 1, .held_nano_usd = 5000}};
  batch.requests = {row};
  batch.keys = {key};
  ASSERT_TRUE(store_->Commit(batch).ok());
  const LedgerState state = *store_->Load();
  EXPECT_THAT(state.accounts, UnorderedElementsAre(batch.accounts[0]));
  EXPECT_THAT(state.open_requests, UnorderedElementsAre(row));
  EXPECT_THAT(state.keys, UnorderedElementsAre(key));
}

TEST_P(LedgerStoreTest, ClosedRequestsAreFoundWithTheirAmount) {
  RequestRow row = OpenRow(RequestId::Random());
  LedgerBatch batch = Batch();
  batch.requests = {row};
  ASSERT_TRUE(store_->Commit(batch).ok());
  row.state = RequestState::kClosed;
  row.held_nano_usd = 0;
  row.reason = v1::SETTLE_COMPLETED;
  batch.requests = {row};
  batch.entries = {EntryOf(row)};
  ASSERT_TRUE(store_->Commit(batch).ok());
  EXPECT_TRUE(store_->Load()->open_requests.empty());
  const auto found = *store_->Find(row.id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, row);
  EXPECT_EQ(found->posted_nano_usd, 2000);
  EXPECT_FALSE((*store_->Find(RequestId::Random())).has_value());
}

TEST_P(LedgerStoreTest, ASecondEntryFailsTheWholeTransaction) {
  RequestRow row = OpenRow(RequestId::Random());
  LedgerBatch batch = Batch();
  batch.entries = {EntryOf(row)};
  ASSERT_TRUE(store_->Commit(batch).ok());
  batch.accounts = {{.id = "acme"}};
  EXPECT_TRUE(absl::IsInternal(store_->Commit(batch)));
  EXPECT_TRUE(store_->Load()->accounts.empty());
}

TEST_P(LedgerStoreTest, EntriesAreFoundAsTheyWereWritten) {
  const RequestRow row = OpenRow(RequestId::Random());
  const EntryRow usage = EntryOf(row);
  const EntryRow reversal{.id = RequestId::Random(),
                          .account = "acme",
                          .key_id = "key",
                          .model = "m",
                          .price_version = 1,
                          .amount_nano_usd = -2000,
                          .kind = EntryKind::kReversal,
                          .reverses = usage.id,
                          .note = "it's \"ours\""};
  const EntryRow credit{.id = RequestId::Random(),
                        .account = "acme",
                        .key_id = "",
                        .model = "",
                        .amount_nano_usd = -7,
                        .kind = EntryKind::kCredit};
  LedgerBatch batch = Batch();
  batch.entries = {usage, reversal, credit};
  ASSERT_TRUE(store_->Commit(batch).ok());
  for (const EntryRow& entry : batch.entries) EXPECT_EQ(**store_->FindEntry(entry.id), entry);
  EXPECT_FALSE(store_->FindEntry(RequestId::Random())->has_value());

  batch.entries = {reversal};
  batch.entries[0].id = RequestId::Random();
  batch.accounts = {{.id = "acme"}};
  EXPECT_TRUE(absl::IsInternal(store_->Commit(batch))) << "taken back twice";
  EXPECT_TRUE(store_->Load()->accounts.empty());
}

TEST_P(LedgerStoreTest, AClosedRequestIsNeverWrittenAgain) {
  RequestRow row = OpenRow(RequestId::Random());
  row.state = RequestState::kClosed;
  LedgerBatch batch = Batch();
  batch.requests = {row};
  ASSERT_TRUE(store_->Commit(batch).ok());
  batch.requests = {OpenRow(row.id)};
  EXPECT_TRUE(absl::IsInternal(store_->Commit(batch)));
  EXPECT_EQ((*store_->Find(row.id))->row.state, RequestState::kClosed);
}

TEST_P(LedgerStoreTest, AnOlderTermCommitsNothingNotEvenNothing) {
  const uint64_t newer = *store_->TakeOver();
  EXPECT_GT(newer, term_);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Commit(Batch())));
  term_ = newer;
  EXPECT_TRUE(store_->Commit(Batch()).ok());
}

INSTANTIATE_TEST_SUITE_P(Stores, LedgerStoreTest, ::testing::Values("memory", "sqlite"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quire::coordinator
