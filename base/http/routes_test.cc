#include "base/http/routes.h"

#include <gtest/gtest.h>

#include "base/http/bearer.h"
#include "base/http/exchange.h"
#include "base/http/reply_head.h"
#include "base/http/target.h"

namespace quire::http {
namespace {

Handler Nothing() {
  return [](Exchange&) -> boost::asio::awaitable<void> { co_return; };
}

class RoutesTest : public ::testing::Test {
 protected:
  RoutesTest() {
    routes_.Add("GET", "/v1/models", Nothing());
    routes_.Add("GET", "/v1/models/*", Nothing());
    routes_.Add("POST", "/v1/models/exact", Nothing());
    routes_.Add("DELETE", "/v1/*", Nothing());
    routes_.Add("GET", "/livez", Nothing(), RouteTable::Kind::kProbe);
  }
  std::string Path(const std::string& path) { return std::string(routes_.Find("GET", path).path); }

  RouteTable routes_;
};

TEST_F(RoutesTest, AStarStandsForARestWithSlashes) {
  EXPECT_EQ(Path("/v1/models/Qwen/QwQ-32B"), "/v1/models/*");
  EXPECT_EQ(routes_.Find("GET", "/v1/models/Qwen/QwQ-32B").tail, "Qwen/QwQ-32B");
  EXPECT_EQ(routes_.Find("GET", "/v1/models/Qwen%2FQwQ%2d32B").tail, "Qwen/QwQ-32B");
  EXPECT_EQ(Path("/v1/models"), "/v1/models");
  EXPECT_EQ(Path("/v1/models/"), "/v1/*") << "a star is at least one character";
  EXPECT_EQ(Path("/v1/modelsx"), "/v1/*");
  EXPECT_EQ(Path("/v2"), "");
  EXPECT_EQ(Path("/v1/models/%2"), "") << "no such escape";
  EXPECT_EQ(Path("/v1/models/*"), "/v1/models/*");
  EXPECT_EQ(routes_.Find("GET", "/v1/models/*").tail, "*");
}

TEST_F(RoutesTest, AnExactPathGoesBeforeAStar) {
  EXPECT_EQ(Path("/v1/models/exact"), "/v1/models/exact");
  EXPECT_EQ(routes_.Find("GET", "/v1/models/exact").allow, "OPTIONS, POST");
}

TEST_F(RoutesTest, GetAnswersHead) {
  EXPECT_NE(routes_.Find("HEAD", "/v1/models").handler, nullptr);
  EXPECT_EQ(routes_.Find("HEAD", "/v1/models/exact").handler, nullptr);
  EXPECT_EQ(routes_.Find("PUT", "/v1/models").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(routes_.AllMethods(), "DELETE, GET, HEAD, OPTIONS, POST");
}

TEST_F(RoutesTest, APathAndAllBelowItSpeakOneDialect) {
  static constexpr Dialect kOther{.error_reply = kUsualDialect.error_reply, .id_header = "id"};
  routes_.Speak("/v1/models", kOther);
  for (const char* path : {"/v1/models", "/v1/models/exact", "/v1/models/x", "/v1/models/"}) {
    for (const char* method : {"GET", "POST", "nothing"}) {
      EXPECT_EQ(routes_.Find(method, path).dialect, &kOther) << path;
    }
  }
  for (const char* path : {"/v1/modelsx", "/v1", "/v1/", "/livez", "/"}) {
    EXPECT_EQ(routes_.Find("GET", path).dialect, &kUsualDialect) << path;
  }
}

TEST_F(RoutesTest, ProbesAreMarked) {
  EXPECT_EQ(routes_.Find("GET", "/livez").kind, RouteTable::Kind::kProbe);
  EXPECT_EQ(routes_.Find("GET", "/v1/models").kind, RouteTable::Kind::kRequest);
}

TEST(Target, Decodes) {
  EXPECT_EQ(PercentDecode("a%2Fb%C3%a9+"), "a/b\xC3\xA9+");
  EXPECT_EQ(PercentDecode("%"), std::nullopt);
  EXPECT_EQ(PercentDecode("%4"), std::nullopt);
  EXPECT_EQ(PercentDecode("%4g"), std::nullopt);
  const std::vector<std::pair<std::string, std::string>> expected{
      {"name", "a b"}, {"x", "0"}, {"x", "1"}, {"empty", ""}, {"bad", "%zz"}};
  EXPECT_EQ(ParseQuery("name=a%20b&x=0&x=1&empty&&bad=%zz"), expected);
  EXPECT_EQ(ParseQuery("a=b+c").at(0).second, "b c");
}

TEST(Bearer, TheSchemeHasNoCaseAndBlanksAreMany) {
  const auto token = [](const std::string& value) {
    RequestHead head;
    head.headers = {{"authorization", value}};
    return std::string(BearerToken(head));
  };
  for (const char* value : {"Bearer k", "bearer k", "BEARER  k", "bEaReR \t k"}) EXPECT_EQ(token(value), "k");
  for (const char* value : {"Bearer", "Bearer ", "Bearerk", "k", "Basic k", ""}) EXPECT_EQ(token(value), "");
  EXPECT_EQ(token("Bearer k x"), "k x") << "no key is of this form";
  EXPECT_EQ(BearerToken(RequestHead()), "");
}

TEST(ReplyHead, SaysWhenAndWhetherItGoesOn) {
  EXPECT_EQ(HttpDate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(ReplyHead(404, {{"a", "b"}}, 784111777, true),
            "HTTP/1.1 404 Not Found\r\na: b\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
  EXPECT_EQ(ReplyHead(204, {}, 0, false),
            "HTTP/1.1 204 No Content\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nconnection: close\r\n\r\n");
}

}  // namespace
}  // namespace quire::http
