// The admin API while something behind it is stuck: nothing but what needs it waits, and that not for ever.
#include "coordinator/api/admin_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/core/api_key.h"
#include "base/http/server.h"
#include "base/http/test_replies.h"
#include "coordinator/api/ledger_news.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A disk whose commits wait for somebody.
class SlowStore final : public LedgerStore {
 public:
  absl::StatusOr<uint64_t> TakeOver() override { return disk_.TakeOver(); }
  absl::StatusOr<LedgerState> Load() override { return disk_.Load(); }
  absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) override { return disk_.Find(id); }
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) override {
    return disk_.FindEntry(id);
  }
  absl::Status Commit(const LedgerBatch& batch) override {
    MutexLock lock(&mutex_);
    committing_ = true;
    mutex_.Await(absl::Condition(this, &SlowStore::MayGo));
    return disk_.Commit(batch);
  }
  void Hold(bool held) {
    MutexLock lock(&mutex_);
    held_ = held;
    committing_ = false;
  }
  void FailCommits(bool fail) {
    MutexLock lock(&mutex_);
    disk_.FailNextCommits(fail ? CommitFault::kDiskFull : CommitFault::kNone);
  }
  void AwaitCommit() {
    MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&committing_));
  }

 private:
  bool MayGo() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !held_; }

  MemoryStore disk_;
  Mutex mutex_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false, committing_ ABSL_GUARDED_BY(mutex_) = false;
};

// A driver whose list waits for somebody.
class SlowFleet final : public FleetDriver {
 public:
  absl::Status Start() override { return absl::OkStatus(); }
  void Stop() override {}
  void HurryStop() override {}
  std::vector<DrivenGroup> List() const override {
    go.WaitForNotification();
    return {DrivenGroup{"g0", 3, GroupPhase::kRunning, {7}, 5, 0, "", {}}};
  }

  Notification go;
};

class AdminServiceTest : public testing::Test {
 protected:
  void Start(milliseconds patience) {
    ASSERT_TRUE(ledger_.TakeOver().ok());
    thread_ = std::make_unique<LedgerThread>(&ledger_, &ledger_clock_, LedgerThreadOptions());
    KeyRow row;
    row.id = admin_key_.id;
    row.kind = KeyKind::kAdmin;
    row.hmac = ToBytes(ApiKeyHmac("pepper", admin_key_.text));
    facts_.PutKey(row);
    AdminService::Parts parts;
    parts.ledger = thread_.get();
    parts.router = &router_;
    parts.facts = &facts_;
    parts.fleet = fleet_.get();
    parts.clock = &clock_;
    parts.metrics = &metrics_;
    parts.patience = patience;
    service_ = std::make_unique<AdminService>(parts, "pepper");
    http::HttpServerOptions options;
    options.limits = http::OperatorLimits();
    options.plane = "admin";
    auto server = http::Server::Start(options, service_->Routes(), metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Request(const std::string& method, const std::string& path,
                      const std::string& body = "") const {
    return absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: a\r\nAuthorization: bearer ", admin_key_.text,
                        "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  }
  http::TestReply Call(const std::string& method, const std::string& path,
                       const std::string& body = "") const {
    http::TestClient client(server_->port());
    client.Send(Request(method, path, body));
    return http::TestReplies(client).Next();
  }
  // Returns when the handler has, though the commit waits; then the commit goes on.
  void LeaveWhileAKeyIsStored(bool fill_queue = false) {
    store_.Hold(true);
    {
      http::TestClient stuck(server_->port());
      stuck.Send(Request("POST", "/admin/v1/keys", R"({"name":"n"})"));
      store_.AwaitCommit();
    }
    server_->Drain(std::chrono::minutes(5));
    for (bool queue_has_room = fill_queue; queue_has_room;) queue_has_room = thread_->Post([](Ledger&) {});
    store_.Hold(false);
  }
  void ExpectProbesAnswer() {
    for (const char* path : {"/livez", "/healthz", "/readyz", "/metrics"})
      EXPECT_EQ(Call("GET", path).status, 200);
  }

  LedgerOptions Rules() {
    LedgerOptions rules;
    rules.on_news = [this](const LedgerBatch& news) { TellNews(news, router_, facts_); };
    return rules;
  }

  double Commits() const {
    const std::string text = Call("GET", "/metrics").body, name = "\nquire_coordinator_ledger_commits_total ";
    return std::stod(text.substr(text.find(name) + name.size()));
  }

  const SystemClock clock_{};
  ManualClock ledger_clock_;  // a slow machine is no disk that hangs
  const NewApiKey admin_key_ = GenerateApiKey(KeyKind::kAdmin);
  Metrics metrics_;
  SlowStore store_;
  Ledger ledger_{&store_, Rules()};
  SlowFacts facts_{"", "pepper"};
  Router router_{Router::Config(), clock_};
  std::unique_ptr<SlowFleet> fleet_;
  std::unique_ptr<LedgerThread> thread_;
  std::unique_ptr<AdminService> service_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(AdminServiceTest, NothingElseWaitsForAStuckLedger) {
  Start(std::chrono::hours(1));
  store_.Hold(true);
  http::TestClient stuck(server_->port());
  stuck.Send(Request("POST", "/admin/v1/keys", R"({"name":"n"})"));
  store_.AwaitCommit();
  ExpectProbesAnswer();
  const double while_stuck = Commits();
  EXPECT_EQ(Call("GET", "/admin/v1/groups").status, 200);
  EXPECT_EQ(Call("GET", "/admin/v1/nothing").status, 404);
  EXPECT_FALSE(stuck.HasReply());
  store_.Hold(false);
  EXPECT_EQ(http::TestReplies(stuck).Next().status, 201);
  while (Commits() == while_stuck) continue;  // counted just after the reply was released
}

// With a full disk every chat is refused.
TEST_F(AdminServiceTest, IsNotReadyWhileNothingCanBeCommitted) {
  Start(std::chrono::hours(1));
  EXPECT_EQ(Call("GET", "/readyz").status, 200);
  store_.FailCommits(true);
  EXPECT_EQ(Call("POST", "/admin/v1/keys", R"({"name":"n"})").status, 503);
  while (Call("GET", "/readyz").status == 200) continue;  // known just after the reply was released
  EXPECT_THAT(Call("GET", "/readyz").body, HasSubstr("ledger"));
  EXPECT_EQ(Call("GET", "/livez").status, 200);
  store_.FailCommits(false);
  while (Call("POST", "/admin/v1/keys", R"({"name":"n"})").status == 503)
    ledger_clock_.AdvanceUs(LedgerThread::kLastRetryUs);
  while (Call("GET", "/readyz").status == 503) continue;
}

// As long as a disk may take, and longer. Who asks never waits for it.
TEST_F(AdminServiceTest, IsNotReadyWhileACommitHangs) {
  Start(std::chrono::hours(1));
  store_.Hold(true);
  http::TestClient stuck(server_->port());
  stuck.Send(Request("POST", "/admin/v1/keys", R"({"name":"n"})"));
  store_.AwaitCommit();
  ledger_clock_.AdvanceUs(LedgerThread::kHangsAfterUs);
  EXPECT_EQ(Call("GET", "/readyz").status, 200);
  ledger_clock_.AdvanceUs(1);
  EXPECT_EQ(Call("GET", "/readyz").status, 503);
  EXPECT_THAT(Call("GET", "/readyz").body, HasSubstr("disk does not answer"));
  EXPECT_EQ(Call("GET", "/livez").status, 200);
  store_.Hold(false);
  EXPECT_EQ(http::TestReplies(stuck).Next().status, 201);
  while (Call("GET", "/readyz").status == 503) continue;  // known just after the reply was released
  ledger_clock_.AdvanceUs(2 * LedgerThread::kHangsAfterUs);
  while (Call("GET", "/readyz").status == 503) continue;  // who waits for work does not hang
}

TEST_F(AdminServiceTest, WhoAsksAStuckLedgerIsToldInTheEnd) {
  Start(milliseconds(50));
  store_.Hold(true);
  const http::TestReply late = Call("POST", "/admin/v1/keys", R"({"name":"n"})");
  EXPECT_EQ(late.status, 503);
  EXPECT_THAT(late.body, HasSubstr("look before you try again"));
  EXPECT_EQ(late.Header("retry-after"), "1");
  store_.Hold(false);
}

// The revocation is durable in the end: then it must have its effect, though nobody waits for it.
TEST_F(AdminServiceTest, ARevocationThatComesLateStillCounts) {
  Start(milliseconds(50));
  http::TestReply made;  // a busy machine may be late the first times
  while (made.status != 201) made = Call("POST", "/admin/v1/keys", R"({"name":"n"})");
  const std::string id = made.body.substr(made.body.find("\"id\":\"") + 6, 12);
  ASSERT_TRUE(facts_.FindKey(id).has_value()) << made.body;
  store_.Hold(true);
  EXPECT_EQ(Call("DELETE", "/admin/v1/keys/" + id).status, 503);
  EXPECT_TRUE(facts_.FindKey(id).has_value());
  store_.Hold(false);
  thread_->Stop();  // runs what is queued
  EXPECT_FALSE(facts_.FindKey(id).has_value());
}

TEST_F(AdminServiceTest, NothingElseWaitsForAStuckFleet) {
  fleet_ = std::make_unique<SlowFleet>();
  Start(std::chrono::hours(1));
  http::TestClient stuck(server_->port());
  stuck.Send(Request("GET", "/admin/v1/groups"));
  ExpectProbesAnswer();
  EXPECT_EQ(Call("GET", "/admin/v1/keys").status, 200);
  EXPECT_FALSE(stuck.HasReply());
  fleet_->go.Notify();
  EXPECT_THAT(http::TestReplies(stuck).Next().body, HasSubstr("\"restarts\":5"));
  while (Call("GET", "/metrics").body.find("quire_coordinator_group_restarts{group=\"g0\"} 5") ==
         std::string::npos)
    continue;
}

// Its secret was shown to nobody.
class UnseenKeyTest : public AdminServiceTest, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(FullQueue, UnseenKeyTest, testing::Bool());

TEST_P(UnseenKeyTest, IsRevoked) {
  Start(std::chrono::hours(1));
  LeaveWhileAKeyIsStored(/*fill_queue=*/GetParam());
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  std::vector<KeyRow> keys;
  const auto revoked = [&] {
    keys = facts_.AllKeys();
    std::erase_if(keys, [&](const KeyRow& key) { return key.id == admin_key_.id; });
    return keys.size() == 1 && keys[0].revoked_ms > 0;
  };
  while (!revoked() && absl::Now() < deadline) continue;
  EXPECT_TRUE(revoked());
}

TEST_F(AdminServiceTest, TheLedgerMayReplyWhenTheServiceIsGone) {
  Start(std::chrono::hours(1));
  store_.Hold(true);
  http::TestClient stuck(server_->port());
  stuck.Send(Request("POST", "/admin/v1/keys", R"({"name":"n"})"));
  store_.AwaitCommit();
  server_.reset();
  service_.reset();
  store_.Hold(false);
  thread_->Stop();
}

TEST_F(AdminServiceTest, KeysAreShownWhileTheLedgerIsStuck) {
  Start(std::chrono::hours(1));
  ASSERT_EQ(Call("POST", "/admin/v1/keys", R"({"name":"n"})").status, 201);
  store_.Hold(true);
  http::TestClient stuck(server_->port());
  stuck.Send(Request("POST", "/admin/v1/keys", R"({"name":"second"})"));
  store_.AwaitCommit();
  const http::TestReply keys = Call("GET", "/admin/v1/keys");
  EXPECT_EQ(keys.status, 200);
  EXPECT_THAT(keys.body, HasSubstr("\"name\":\"n\""));
  EXPECT_THAT(keys.body, testing::Not(HasSubstr("second")));  // nothing that may not stand
  store_.Hold(false);
}

TEST_F(AdminServiceTest, AClientThatLeavesIsNotWaitedFor) {
  Start(std::chrono::hours(1));
  LeaveWhileAKeyIsStored();
}

}  // namespace
}  // namespace quire::coordinator
