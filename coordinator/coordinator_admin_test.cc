// The admin and the metrics plane of a whole coordinator.
#include <gmock/gmock.h>

#include <thread>

#include "coordinator/coordinator_test_fixture.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

class CoordinatorAdminTest : public CoordinatorTest {};

TEST_F(CoordinatorAdminTest, TheAdminPlaneOpensToAdminKeysOnly) {
  const std::string admin = coordinator_->admin_address();
  std::string wrong = admin_key_;
  wrong[30] = wrong[30] == 'a' ? 'b' : 'a';
  for (const std::string& key : {std::string(), key_, std::string("x"), wrong}) {
    const TestOperator intruder(admin, key);
    for (const char* path : {"/admin/v1/keys", "/admin/v1/groups", "/admin/v1/usage", "/admin/v1/nothing"}) {
      const AdminAnswer answer = intruder.Call("GET", path);
      EXPECT_EQ(answer.status, 401) << path;
      EXPECT_EQ(answer.body["error"]["type"], "authentication_error");
    }
    for (const char* method : {"OPTIONS", "DELETE", "POST", "get"}) {
      for (const char* path : {"/admin/v1/usage", "/admin/v1/nothing", "/elsewhere"}) {
        const AdminAnswer answer = intruder.Call(method, path);
        EXPECT_EQ(answer.status, 401) << method << path;
        EXPECT_THAT(answer.head, testing::Not(HasSubstr("allow:"))) << method << path;
      }
    }
    EXPECT_EQ(intruder.Call("GET", "/healthz").status, 200);
    EXPECT_EQ(intruder.Call("GET", "/livez").status, 200);
    EXPECT_EQ(intruder.Call("GET", "/readyz").status, 200);
    EXPECT_THAT(intruder.Call("GET", "/metrics").text,
                HasSubstr("quire_coordinator_groups{state=\"serving\"} 0"));
  }
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/nothing").status, 404);
  EXPECT_EQ(operator_->Call("DELETE", "/admin/v1/usage").status, 405);
}

TEST_F(CoordinatorAdminTest, TheAdminPlaneChecksHeadsAndRefusesAsThePublicOne) {
  EXPECT_EQ(operator_->Call("GET", "//admin/v1/keys").status, 400);
  EXPECT_EQ(operator_->Call("GET", "/elsewhere").body["error"]["code"], "no_route");
  const AdminAnswer denied = TestOperator(coordinator_->admin_address(), "").Call("GET", "/admin/v1/keys");
  EXPECT_THAT(denied.head, HasSubstr("www-authenticate: Bearer"));
  EXPECT_THAT(denied.head, HasSubstr("x-request-id: "));
  EXPECT_THAT(denied.head, testing::Not(HasSubstr("access-control")));
  EXPECT_EQ(operator_->Call("OPTIONS", "/admin/v1/keys").status, 204);
  EXPECT_EQ(operator_->Call("HEAD", "/admin/v1/keys").text, "");
}

TEST_F(CoordinatorAdminTest, MetricsHaveAPlaneOfTheirOwn) {
  const TestOperator anybody(coordinator_->metrics_address(), "");
  EXPECT_THAT(anybody.Call("GET", "/metrics").text, HasSubstr("quire_coordinator_ledger_commits_total"));
  EXPECT_EQ(anybody.Call("GET", "/readyz").status, 200);
  EXPECT_EQ(TestOperator(coordinator_->metrics_address(), admin_key_).Call("GET", "/admin/v1/keys").status,
            404);
}

TEST_F(CoordinatorAdminTest, TheAdminPlaneIsNotServedInTheClearElsewhere) {
  coordinator_.reset();
  config_.admin_host = "0.0.0.0";
  const auto refused = Coordinator::Start(config_);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--insecure"));
  config_.insecure = true;
  EXPECT_TRUE(Coordinator::Start(config_).ok());
}

TEST_F(CoordinatorAdminTest, KeysAreShownOnceAndRevoked) {
  const auto made = operator_->Call("POST", "/admin/v1/keys",
                                    R"({"name":"ci","account":"acme","models":["tiny"],"cap_usd":"12.5"})");
  EXPECT_EQ(made.status, 201);
  EXPECT_TRUE(ParseApiKey(std::string(made.body["key"])).has_value());
  const auto list = operator_->Call("GET", "/admin/v1/keys");
  EXPECT_EQ(list.body["data"].size(), 3u);
  EXPECT_THAT(list.text, testing::Not(HasSubstr("sk-quire")));
  EXPECT_EQ(Get("/admin/v1/usage?account=acme")["accounts"][0]["cap"]["nano_usd"], 12'500'000'000);
  const std::string id = made.body["id"];
  EXPECT_EQ(operator_->Call("DELETE", KeyPath(id)).status, 200);
  EXPECT_EQ(operator_->Call("DELETE", KeyPath(id)).status, 200);
  EXPECT_EQ(operator_->Call("DELETE", "/admin/v1/keys/nobody").status, 404);
  const std::string admin_id = ParseApiKey(admin_key_)->id;
  EXPECT_EQ(operator_->Call("DELETE", KeyPath(admin_id)).status, 409);  // the last one
}

TEST_F(CoordinatorAdminTest, TwoAdminsCantLockEverybodyOut) {
  const auto second = operator_->Call("POST", "/admin/v1/keys", R"({"name":"second","kind":"admin"})");
  const TestOperator other(coordinator_->admin_address(), second.body["key"]);
  AdminAnswer by_first, by_second;
  std::thread thread([&] { by_first = operator_->Call("DELETE", KeyPath(second.body["id"])); });
  by_second = other.Call("DELETE", KeyPath(ParseApiKey(admin_key_)->id));
  thread.join();
  EXPECT_NE(by_first.status == 200, by_second.status == 200) << by_first.text << by_second.text;
  const int works = operator_->Call("GET", "/admin/v1/keys").status == 200;
  EXPECT_EQ(works + (other.Call("GET", "/admin/v1/keys").status == 200), 1);
}

TEST_F(CoordinatorAdminTest, ACapIsSetByItself) {
  const auto put = [&](const std::string& account, const std::string& body) {
    return operator_->Call("PUT", "/admin/v1/accounts/" + account, body);
  };
  const auto set = put("default", R"({"cap_usd":"2.5"})");
  EXPECT_EQ(set.status, 200) << set.text;
  EXPECT_EQ(set.body["cap"]["nano_usd"], 2'500'000'000);
  EXPECT_EQ(Get("/admin/v1/usage?account=default")["accounts"][0]["cap"]["usd"], "2.500000000");
  operator_->Call("POST", "/admin/v1/keys", R"({"name":"n"})");  // has no word of it
  EXPECT_EQ(Get("/admin/v1/usage?account=default")["accounts"][0]["cap"]["usd"], "2.500000000");
  EXPECT_TRUE(put("default", R"({"cap_usd":null})").body["cap"].is_null());
  EXPECT_EQ(put("default", "{}").status, 400);
  EXPECT_EQ(put("a%20b", R"({"cap_usd":null})").status, 400);
  EXPECT_EQ(TestOperator(coordinator_->admin_address(), key_)
                .Call("PUT", "/admin/v1/accounts/default", R"({"cap_usd":null})")
                .status,
            401);
}

TEST_F(CoordinatorAdminTest, CreditsAndReversalsArePostedOnceAndListed) {
  const auto post = [&](const char* path, const std::string& body) {
    return operator_->Call("POST", path, body);
  };
  const std::string body =
      R"({"account":"default","amount_usd":"2","reference":"payment 1","note":"by card"})";
  const AdminAnswer credit = post("/admin/v1/credits", body);
  ASSERT_EQ(credit.status, 200) << credit.text;
  EXPECT_EQ(credit.body["kind"], "credit");
  EXPECT_EQ(credit.body["amount"]["usd"], "-2.000000000");
  EXPECT_EQ(post("/admin/v1/credits", body).body, credit.body);
  EXPECT_EQ(
      post("/admin/v1/credits", R"({"account":"default","amount_usd":"3","reference":"payment 1"})").status,
      409);
  EXPECT_EQ(post("/admin/v1/credits", R"({"account":"nobody","amount_usd":"3","reference":"p"})").status,
            404);
  EXPECT_EQ(post("/admin/v1/credits", "{}").status, 400);
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/usage").body["accounts"][0]["posted"]["usd"], "-2.000000000");

  const std::string id = credit.body["id"];
  const AdminAnswer reversal = post("/admin/v1/reversals", R"({"entry":")" + id + R"(","note":"bounced"})");
  ASSERT_EQ(reversal.status, 200) << reversal.text;
  EXPECT_EQ(reversal.body["reverses"], id);
  EXPECT_EQ(post("/admin/v1/reversals", R"({"entry":")" + id + "\"}").body, reversal.body);
  const std::string reversed = reversal.body["id"];
  EXPECT_EQ(post("/admin/v1/reversals", R"({"entry":")" + reversed + "\"}").status, 409);
  EXPECT_EQ(post("/admin/v1/reversals", R"({"entry":"00112233445566778899aabbccddeeff"})").status, 404);

  const AdminAnswer first = operator_->Call("GET", "/admin/v1/entries?limit=1");
  EXPECT_EQ(first.body["has_more"], true);
  EXPECT_EQ(first.body["data"][0]["id"], id);
  const AdminAnswer second = operator_->Call("GET", "/admin/v1/entries?account=default&after=" + id);
  EXPECT_EQ(second.body["has_more"], false);
  EXPECT_EQ(second.body["data"][0]["id"], reversed);
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/entries?limit=x").status, 400);
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/audit").body["balanced"], true);
}

TEST_F(CoordinatorAdminTest, ARevokedKeyStopsItsRequests) {
  auto group = Group("g0", 1);
  const auto made = operator_->Call("POST", "/admin/v1/keys", R"({"name":"n"})");
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(gateway_->Admit(id, made.body["id"]).grant.has_value());
  operator_->Call("DELETE", KeyPath(made.body["id"]));
  EXPECT_EQ(gateway_->Progress(id, 1, 512).stop(), v1::STOP_REVOKED);
}

TEST_F(CoordinatorAdminTest, GroupsAreListedWithTheirKv) {
  auto group = Group("g0", 4);
  const auto groups = Get("/admin/v1/groups");
  ASSERT_EQ(groups["data"].size(), 1u);
  const auto& entry = groups["data"][0];
  EXPECT_EQ(entry["state"], "serving");
  EXPECT_EQ(entry["epoch"], 4);
  EXPECT_EQ(entry["ranks"], 2);
  EXPECT_EQ(entry["kv_blocks_total"], 100);
  EXPECT_EQ(entry["kv_blocks_free"], 100);
}

TEST_F(CoordinatorAdminTest, BrokenFirstKeysAreMendedFromTheFile) {
  coordinator_.reset();
  {  // as after a crash between the file and the rows
    const auto books = *SqliteDatabase::Open(config_.data + "/ledger.db", SqliteMode::kReadWrite);
    for (const char* table : {"key_model", "key", "account"}) {
      ASSERT_TRUE(books->Query((std::string("DELETE FROM ") + table).c_str()).Run().ok());
    }
  }
  const std::string before = admin_key_;
  Begin();
  EXPECT_EQ(admin_key_, before);
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/keys").body["data"].size(), 2u);
}

TEST_F(CoordinatorAdminTest, NewFirstKeysLeaveTheCap) {
  ASSERT_EQ(operator_->Call("PUT", "/admin/v1/accounts/default", R"({"cap_usd":"1"})").status, 200);
  coordinator_.reset();
  nlohmann::json fresh;  // of a restored backup, say: the ledger doesn't know them
  fresh["admin_key"] = GenerateApiKey(KeyKind::kAdmin).text;
  fresh["api_key"] = GenerateApiKey(KeyKind::kApi).text;
  ASSERT_TRUE(WriteFileAtomically(config_.data + "/keys.json", fresh.dump(), 0600).ok());
  Begin();
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/keys").body["data"].size(), 4u);
  EXPECT_EQ(Get("/admin/v1/usage?account=default")["accounts"][0]["cap"]["usd"], "1.000000000");
}

TEST_F(CoordinatorAdminTest, KeysAreMadeAnewOnlyWhereNoAdminKeyLives) {
  coordinator_.reset();
  std::filesystem::remove(config_.data + "/keys.json");
  ASSERT_TRUE(Coordinator::Start(config_).ok());  // the operator took the file away
  EXPECT_FALSE(std::filesystem::exists(config_.data + "/keys.json"));
  {
    auto store = SqliteDatabase::Open(config_.data + "/ledger.db", SqliteMode::kReadWrite);
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE((*store)->Query("UPDATE key SET revoked_ms = 7 WHERE kind = 1").Run().ok());
  }
  const std::string before = admin_key_;
  Begin();
  EXPECT_NE(admin_key_, before);
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/keys").body["data"].size(), 4u);
}

// A backup without it, say. Made anew it would void every key, and lock the operator out, without a word.
TEST_F(CoordinatorAdminTest, ThePepperIsMadeOnceForALedger) {
  coordinator_.reset();
  const std::string path = config_.data + "/pepper", pepper = *ReadWholeFile(path);
  std::filesystem::remove(path);
  const absl::Status refused = Coordinator::Start(config_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("restore it from a backup"));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(WriteFileAtomically(path, pepper, 0600).ok());
  Begin();
  EXPECT_EQ(operator_->Call("GET", "/admin/v1/keys").status, 200);
}

TEST_F(CoordinatorAdminTest, DamagedKeysAreNamed) {
  const auto good = nlohmann::json::parse(*ReadWholeFile(config_.data + "/keys.json"));
  nlohmann::json swapped = good, half = good;
  swapped["admin_key"] = good["api_key"];
  half.erase("api_key");
  for (const std::string& content : {std::string("{"), std::string("[]"), swapped.dump(), half.dump()}) {
    coordinator_.reset();
    ASSERT_TRUE(WriteFileAtomically(config_.data + "/keys.json", content, 0600).ok());
    const absl::Status refused = Coordinator::Start(config_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << content;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("keys.json is damaged"));
  }
}

// Exit code 74 is the ledger's: whoever watches for it restores a backup.
TEST_F(CoordinatorAdminTest, OnlyTheLedgersDamageIsDataLoss) {
  coordinator_.reset();
  for (const char* name : {"epochs.json", "models.json", "pepper", "worker_secret", "bundles.db"}) {
    const std::string path = config_.data + "/" + name;
    const auto intact = ReadWholeFile(path);
    ASSERT_TRUE(WriteFileAtomically(path, "garbage, garbage", 0600).ok());
    const absl::Status refused = Coordinator::Start(config_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << name << ": " << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(name));
    std::filesystem::remove(path);
    if (!intact.ok()) continue;
    ASSERT_TRUE(WriteFileAtomically(path, *intact, 0600).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(config_.data + "/ledger.db", std::string(8192, 'x'), 0600).ok());
  EXPECT_TRUE(absl::IsDataLoss(Coordinator::Start(config_).status()));
}

}  // namespace
}  // namespace quire::coordinator
