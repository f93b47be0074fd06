// CORS as browsers speak it, over real sockets.
#include "base/http/cors.h"

#include <gmock/gmock.h>

#include "base/http/test_server.h"

namespace quire::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kOrigin[] = "Origin: https://chat.example\r\n";
constexpr char kPreflight[] =
    "Origin: https://chat.example\r\nAccess-Control-Request-Method: POST\r\n"
    "Access-Control-Request-Headers: authorization,content-type,x-stainless-os\r\n";

class CorsTest : public HttpTest {
 protected:
  void StartWith(const std::string& origins) {
    auto policy = CorsPolicy::Parse(origins);
    ASSERT_TRUE(policy.ok()) << policy.status();
    options_.cors = *policy;
    routes_.Add("GET", "/whole", [](Exchange& e) { return e.Send({.body = "whole"}); });
    routes_.Add("POST", "/chat", [](Exchange& e) {
      return e.Send(ErrorReply({.status = 401, .message = "no", .code = "invalid_api_key"}));
    });
    Start();
  }
};

TEST_F(CorsTest, APreflightNeedsNoKeyAndGetsWhatItAskedFor) {
  StartWith("*");
  TestClient client(server_->port());
  client.Send(Request("OPTIONS", "/chat", kPreflight) + Request("GET", "/whole"));
  TestReplies replies(client);
  const TestReply reply = replies.Next();
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.Header("access-control-allow-origin"), "*");
  EXPECT_THAT(reply.Header("access-control-allow-methods"), HasSubstr("POST"));
  EXPECT_EQ(reply.Header("access-control-allow-headers"), "authorization,content-type,x-stainless-os");
  EXPECT_EQ(reply.Header("access-control-max-age"), "7200");
  EXPECT_EQ(replies.Next().body, "whole") << "a 204 has no body";
}

TEST_F(CorsTest, RefusalsCarryItToo) {
  StartWith("*");
  for (const std::string& request :
       {Request("POST", "/chat", kOrigin), Request("GET", "/nothing", kOrigin),
        Request("DELETE", "/chat", kOrigin), Request("GET", "//", kOrigin), std::string("garbage\r\n\r\n"),
        Request("OPTIONS", "/nothing", kPreflight)}) {
    const TestReply reply = Call(request);
    EXPECT_GE(reply.status, 400);
    EXPECT_EQ(reply.Header("access-control-allow-origin"), "*") << reply.head;
    EXPECT_EQ(reply.Header("access-control-expose-headers"), "x-request-id, request-id, retry-after");
  }
}

TEST_F(CorsTest, OnlyListedOriginsAreLetIn) {
  StartWith("https://chat.example, http://localhost:3000");
  const TestReply listed = Call(Request("GET", "/whole", kOrigin));
  EXPECT_EQ(listed.Header("access-control-allow-origin"), "https://chat.example");
  EXPECT_EQ(listed.Header("vary"), "Origin");
  for (const std::string& origin :
       {std::string("Origin: https://other.example\r\n"), std::string("Origin: null\r\n"), std::string()}) {
    const TestReply other = Call(Request("GET", "/whole", origin));
    EXPECT_EQ(other.status, 200);
    EXPECT_EQ(other.Header("access-control-allow-origin"), "") << origin;
    EXPECT_EQ(other.Header("vary"), "Origin") << "a cache must not give one origin the reply of another";
  }
}

TEST_F(CorsTest, NoneTurnsItOff) {
  StartWith("none");
  EXPECT_THAT(Call(Request("GET", "/whole", kOrigin)).head, Not(HasSubstr("access-control")));
  const TestReply options = Call(Request("OPTIONS", "/chat", kPreflight));
  EXPECT_THAT(options.head, Not(HasSubstr("access-control")));
  EXPECT_EQ(options.Header("allow"), "OPTIONS, POST");
}

TEST(CorsPolicy, RefusesWhatIsNoOrigin) {
  for (const char* wrong :
       {"", "chat.example", "https://", "https://a.example/", "https://A.example", "*,https://a.example"}) {
    const auto policy = CorsPolicy::Parse(wrong);
    ASSERT_FALSE(policy.ok()) << wrong;
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr("--cors-origin"));
  }
  EXPECT_TRUE(CorsPolicy::Parse("chrome-extension://abcdef,http://[::1]:3000").ok());
  EXPECT_TRUE(CorsPolicy::Parse("none")->off());
}

}  // namespace
}  // namespace quire::http
