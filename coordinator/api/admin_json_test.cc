#include "coordinator/api/admin_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "coordinator/api/admin_fields.h"

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

std::string WhyNot(const std::string& body) { return std::string(ParseNewKey(body).status().message()); }

TEST(AdminJson, MoneyGoesBothWaysExactly) {
  EXPECT_EQ(*NanoUsdFromText("12.5"), 12'500'000'000);
  EXPECT_EQ(*NanoUsdFromText("0.000000001"), 1);
  EXPECT_EQ(*NanoUsdFromText("7"), 7'000'000'000);
  for (const char* wrong : {"", ".5", "1.", "-1", "1e9", "0.0000000001", "1 ", "1,5", "99999999999", "NaN"}) {
    EXPECT_FALSE(NanoUsdFromText(wrong).ok()) << wrong;
  }
  EXPECT_EQ(UsdText(0), "0.000000000");
  EXPECT_EQ(UsdText(12'500'000'075), "12.500000075");
  EXPECT_EQ(UsdText(-1), "-0.000000001");
  EXPECT_EQ(UsdText(INT64_MIN), "-9223372036.854775808");
}

TEST(AdminJson, ANewKeyHasDefaults) {
  const NewKeySpec spec = *ParseNewKey(R"({"name":"ci"})");
  EXPECT_EQ(spec.account, "default");
  EXPECT_EQ(spec.kind, KeyKind::kApi);
  EXPECT_TRUE(spec.models.empty());
  EXPECT_FALSE(spec.has_cap);
}

TEST(AdminJson, ANewKeyMayHaveEverything) {
  const NewKeySpec spec =
      *ParseNewKey(R"({"name":"ci","account":"a.b-c_1","kind":"api","models":["m"],"cap_nano_usd":5})");
  EXPECT_EQ(spec.cap_nano_usd, 5);
  EXPECT_EQ(ParseNewKey(R"({"name":"ci","kind":"admin"})")->kind, KeyKind::kAdmin);
  EXPECT_TRUE(ParseNewKey(R"({"name":"ci","cap_usd":null})")->has_cap);
}

TEST(AdminJson, WhatIsWrongIsNamed) {
  EXPECT_THAT(WhyNot("{"), HasSubstr("JSON object"));
  EXPECT_THAT(WhyNot("[]"), HasSubstr("JSON object"));
  EXPECT_THAT(WhyNot("{}"), HasSubstr("'name'"));
  EXPECT_THAT(WhyNot(R"({"name":"a\nb"})"), HasSubstr("'name'"));
  EXPECT_THAT(WhyNot(R"({"name":7})"), HasSubstr("'name'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","account":"../y"})"), HasSubstr("'account'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","account":""})"), HasSubstr("'account'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","models":[]})"), HasSubstr("'models'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","models":[1]})"), HasSubstr("'models'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","kind":"root"})"), HasSubstr("'kind'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","cap_usd":12.5})"), HasSubstr("'cap_usd'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","cap_nano_usd":-1})"), HasSubstr("'cap_nano_usd'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","cap_nano_usd":1e30})"), HasSubstr("'cap_nano_usd'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","cap_usd":"1","cap_nano_usd":1})"), HasSubstr("exclude"));
  EXPECT_THAT(WhyNot(R"({"name":"x","kind":"admin","cap_usd":"1"})"), HasSubstr("'kind'"));
  EXPECT_THAT(WhyNot(R"({"name":"x","budget":1})"), HasSubstr("'budget'"));
}

// A cap is money: which of two would count?
TEST(AdminJson, NothingMayBeGivenTwice) {
  EXPECT_EQ(WhyNot(R"({"name":"n","cap_usd":"1","cap_usd":"1000"})"),
            "the body must be a JSON object: the key \"cap_usd\" is given twice");
  EXPECT_FALSE(ParseUsageQuery({{"to_ms", "1"}, {"to_ms", "2"}}).ok());
  EXPECT_FALSE(ParseUsageQuery({{"by", "hour"}, {"by", "hour"}}).ok());
}

TEST(AdminJson, ACapIsAnAmountOrNull) {
  EXPECT_EQ(ParseCap("acme", R"({"cap_usd":"12.5"})")->cap_nano_usd, 12'500'000'000);
  EXPECT_EQ(ParseCap("acme", R"({"cap_nano_usd":7})")->cap_nano_usd, 7);
  EXPECT_EQ(ParseCap("acme", R"({"cap_usd":null})")->cap_nano_usd, std::nullopt);
  EXPECT_EQ(ParseCap("acme", R"({"cap_usd":null})")->account, "acme");
  for (const char* body : {"", "[]", "{}", R"({"cap_usd":5})", R"({"cap_nano_usd":-1})", R"({"cap":"1"})",
                           R"({"cap_usd":"1","cap_nano_usd":5})", R"({"cap_usd":"1","cap_usd":"1"})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCap("acme", body).status())) << body;
  }
  for (const char* account : {"", "a/b", "a b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCap(account, R"({"cap_usd":null})").status())) << account;
  }
}

TEST(AdminJson, UsageTakesItsOwnParametersOnly) {
  const UsageQuery query =
      *ParseUsageQuery({{"from_ms", "5"}, {"to_ms", "9"}, {"account", "acme"}, {"by", "hour"}});
  EXPECT_EQ(query.from_ms, 5);
  EXPECT_EQ(query.to_ms, 9);
  EXPECT_EQ(query.account, "acme");
  EXPECT_TRUE(query.by_hour);
  EXPECT_FALSE(ParseUsageQuery({{"from_ms", "-5"}}).ok());
  EXPECT_FALSE(ParseUsageQuery({{"from_ms", "9"}, {"to_ms", "1"}}).ok());
  EXPECT_FALSE(ParseUsageQuery({{"by", "minute"}}).ok());
  EXPECT_FALSE(ParseUsageQuery({{"drop", "table"}}).ok());
}

TEST(AdminJson, AGroupMayBeDrivenRegisteredOrBoth) {
  RouterReport report;
  GroupReport registered;
  registered.group.info.set_group_id("g0");
  registered.state = GroupState::kServing;
  report.groups.push_back(registered);
  DrivenGroup both{"g0", 2, GroupPhase::kRunning, {11, 12}, 1, 0, "", {}};
  DrivenGroup loading{"g1", 1, GroupPhase::kRunning, {13}, 0, 0, "", {}};
  DrivenGroup failing{"g2", 9, GroupPhase::kBackoff, {}, 8, 60'000, "rank 0: exit code 70 \xff", {"g2.log"}};
  const nlohmann::json groups = GroupsJson(report, {both, loading, failing});
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0]["state"], "serving");
  EXPECT_EQ(groups[0]["process"]["pids"][1], 12);
  EXPECT_EQ(groups[1]["state"], "starting");
  EXPECT_EQ(groups[2]["state"], "down");
  EXPECT_EQ(groups[2]["process"]["restart_in_ms"], 60'000);
  EXPECT_THAT(JsonReply(200, groups).body, HasSubstr("exit code 70"));  // whatever bytes a log ends in
}

TEST(AdminJson, ErrorsLookLikeOpenAis) {
  const http::Reply reply = ErrorReply(absl::NotFoundError("no such key"));
  EXPECT_EQ(reply.status, 404);
  const auto error = nlohmann::json::parse(reply.body)["error"];
  EXPECT_EQ(error["message"], "no such key");
  EXPECT_EQ(error["type"], "not_found_error");
  EXPECT_EQ(ErrorReply(absl::UnavailableError("x")).status, 503);
  EXPECT_EQ(ErrorReply(absl::AlreadyExistsError("x")).status, 409);
}

}  // namespace
}  // namespace quire::coordinator
