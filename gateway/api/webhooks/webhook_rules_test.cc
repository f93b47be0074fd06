#include "gateway/api/webhooks/webhook_rules.h"

#include <gtest/gtest.h>

namespace quire::gateway {
namespace {

http::HttpsUrl Url(const std::string& host, uint16_t port) {
  return {.host = host, .port = port, .target = "/"};
}

bool MayReach(const WebhookRules& rules, const std::string& host, uint16_t port, const char* address) {
  return rules.MayReach(Url(host, port), boost::asio::ip::make_address(address));
}

TEST(WebhookRules, OthersArePublicAndOnHttpsPort) {
  const WebhookRules rules = *WebhookRules::Parse("");
  EXPECT_FALSE(rules.Check(Url("hooks.example", 443)));
  EXPECT_TRUE(MayReach(rules, "hooks.example", 443, "1.1.1.1"));
  EXPECT_FALSE(MayReach(rules, "hooks.example", 443, "10.0.0.1"));
  EXPECT_FALSE(MayReach(rules, "hooks.example", 443, "::ffff:1.1.1.1"));
  for (const uint16_t port : {22, 80, 444, 8443}) {
    const auto refused = rules.Check(Url("hooks.example", port));
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 422);
    EXPECT_EQ(refused->param, "webhook");
    EXPECT_FALSE(MayReach(rules, "hooks.example", port, "1.1.1.1"));
  }
}

TEST(WebhookRules, ThoseThatAreListedMayBeAnywhere) {
  const WebhookRules rules = *WebhookRules::Parse("Hooks.internal, localhost:8443");
  EXPECT_FALSE(rules.Check(Url("localhost", 8443)));
  EXPECT_TRUE(MayReach(rules, "localhost", 8443, "127.0.0.1"));
  EXPECT_TRUE(MayReach(rules, "hooks.internal", 443, "10.1.2.3"));
  // Just those.
  EXPECT_TRUE(rules.Check(Url("localhost", 8444)));
  EXPECT_TRUE(rules.Check(Url("hooks.internal", 8443)));
  EXPECT_FALSE(MayReach(rules, "localhost", 443, "127.0.0.1"));
  EXPECT_FALSE(MayReach(rules, "a.hooks.internal", 443, "10.1.2.3"));
  EXPECT_TRUE(MayReach(rules, "other.example", 443, "1.1.1.1"));
}

TEST(WebhookRules, WhatIsWrongIsNamed) {
  for (const char* text : {"127.0.0.1", "a:b", "https://hooks.example", "a,*", "a:0"}) {
    const absl::Status status = WebhookRules::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(std::string(status.message()).find("--webhook-allow"), std::string::npos);
  }
}

}  // namespace
}  // namespace quire::gateway
