// What RFC 9110 asks of every reply, routes with a tail, the record of each request, and leaving.
#include <gmock/gmock.h>

#include "base/async/mailbox.h"
#include "base/http/test_server.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class SemanticsTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    routes_.Add("GET", "/whole", [](Exchange& e) { return e.Send({.body = "whole"}); });
    routes_.Add("GET", "/tail/*", [](Exchange& e) { return e.Send({.body = e.tail()}); });
    routes_.Add("POST", "/refuse",
                [](Exchange& e) { return e.Send(ErrorReply({.status = 401, .code = "invalid_api_key"})); });
    routes_.Add("GET", "/stream", Stream);
    routes_.Add("GET", "/wait", [this](Exchange& e) { return WaitUntilGone(e); });
    routes_.Add(
        "GET", "/probe", [](Exchange& e) { return e.Send({.body = "yes"}); }, RouteTable::Kind::kProbe);
  }

  static asio::awaitable<void> Stream(Exchange& exchange) {
    exchange.record().key_id = "key";
    exchange.StartStream();
    exchange.Append("data: a\n\n", 1);
    exchange.record().finish = "stop";
    exchange.record().completion_tokens = 1;
    (co_await exchange.Finish()).IgnoreError();
  }

  asio::awaitable<void> WaitUntilGone(Exchange& exchange) {
    auto gone = std::make_shared<Mailbox<bool>>();
    exchange.OnGone([gone] { gone->Push(true); });
    waiting_.Notify();
    co_await gone->Wait();
  }

  Notification waiting_;
};

TEST_F(SemanticsTest, APathsDialectSaysItsErrorsAndTheRequestsName) {
  static constexpr Dialect kOther{.error_reply =
                                      [](const ApiError& error, const RequestId& id) {
                                        return Reply{.status = error.status, .body = error.code + id.ToHex()};
                                      },
                                  .id_header = "id"};
  routes_.Speak("/tail", kOther);
  routes_.Speak("/refuse", kOther);
  Start();
  for (const auto& [method, path, code] : {std::tuple("POST", "/tail/x", "method"),
                                           {"GET", "/tail", "no_route"},
                                           {"TAIL", "/tail/x", "unknown_method"}}) {
    const TestReply reply = Call(Request(method, path));
    EXPECT_EQ(reply.body, code + reply.Header("id")) << path;
    EXPECT_EQ(reply.Header("id"), reply.Header("x-request-id"));
  }
  EXPECT_EQ(Call(Request("GET", "/tail/x")).Header("id").size(), 32u) << "whatever the answer is";
  EXPECT_EQ(Call(Request("GET", "/nothing")).Header("id"), "");
}

TEST_F(SemanticsTest, HeadIsAnsweredAsGetWithoutABodyAndInStep) {
  Start();
  TestClient client(server_->port());
  for (const char* path : {"/whole", "/tail/x", "/nothing", "/refuse", "/stream"}) {
    client.Send(Request("HEAD", path) + Request("GET", "/whole"));
    TestReplies replies(client);
    const TestReply head = replies.Next(/*to_head=*/true);
    const TestReply get = Call(Request("GET", path));
    EXPECT_EQ(head.status, path == std::string("/refuse") ? 405 : get.status) << path;
    EXPECT_EQ(head.Header("content-type"), get.Header("content-type")) << path;
    EXPECT_EQ(head.Header("content-length"), get.Header("content-length")) << path;
    EXPECT_EQ(replies.Next().body, "whole") << path;
  }
}

TEST_F(SemanticsTest, ARefusedHeadRequestHasNoBodyEither) {
  Start();
  const std::string too_long = "X: " + std::string(64 << 10, 'a') + "\r\n";
  for (const std::string& bytes :
       {Request("HEAD", "/whole", too_long), Request("HEAD", "/whole", "X: a\r\n b\r\n"),
        Request("HEAD", "//whole"), Request("HEAD", "/whole", "Host: b\r\n")}) {
    TestClient client(server_->port());
    client.Send(bytes);
    TestReplies replies(client);
    EXPECT_GE(replies.Next(/*to_head=*/true).status, 400);
    EXPECT_EQ(replies.Rest(), "");
  }
}

TEST_F(SemanticsTest, AHeadRequestThatTimesOutHasNoBodyEither) {
  options_.limits.head_timeout = std::chrono::milliseconds(200);
  Start();
  std::string reply;  // none where this machine took so long that no byte came in time
  while (reply.empty()) {
    TestClient client(server_->port());
    client.Send("HEAD /whole HTTP/1.1\r\n");
    reply = client.ReadToEnd();
  }
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\n"));
}

TEST_F(SemanticsTest, OptionsNamesTheMethods) {
  Start();
  TestClient client(server_->port());
  client.Send(Request("OPTIONS", "/whole") + Request("OPTIONS", "/refuse") + Request("OPTIONS", "*") +
              Request("OPTIONS", "/nothing") + Request("GET", "/whole"));
  TestReplies replies(client);
  const TestReply whole = replies.Next();
  EXPECT_EQ(whole.status, 204);
  EXPECT_EQ(whole.Header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(whole.Header("content-length"), "") << "a 204 has none";
  EXPECT_EQ(replies.Next().Header("allow"), "OPTIONS, POST");
  EXPECT_EQ(replies.Next().Header("allow"), "GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(replies.Next().status, 404);
  EXPECT_EQ(replies.Next().body, "whole");
  EXPECT_EQ(Call(Request("GET", "*")).status, 400) << "only OPTIONS asks about the whole server";
}

TEST_F(SemanticsTest, AGuardedPlaneTellsStrangersNothing) {
  options_.guard = [](Exchange& exchange) -> std::optional<ApiError> {
    if (exchange.head().Find("authorization") != nullptr) return std::nullopt;
    return ApiError{.status = 401, .message = "give a key", .code = "no_key"};
  };
  Start();
  const std::vector<std::pair<std::string, std::string>> questions = {
      {"OPTIONS", "/whole"}, {"OPTIONS", "*"},    {"OPTIONS", "/nothing"}, {"DELETE", "/whole"},
      {"get", "/whole"},     {"GET", "/nothing"}, {"POST", "/probe"}};
  const std::string key = "Authorization: Bearer k\r\n";
  for (const auto& [method, path] : questions) {
    const TestReply refused = Call(Request(method, path));
    EXPECT_EQ(refused.status, 401) << method << path;
    EXPECT_EQ(refused.body, Call(Request("DELETE", "/whole")).body) << method << path;
    EXPECT_EQ(refused.Header("allow"), "") << method << path;
    EXPECT_EQ(refused.Header("www-authenticate"), "Bearer") << method << path;
    EXPECT_NE(Call(Request(method, path, key)).status, 401) << method << path;
  }
  EXPECT_EQ(Call(Request("HEAD", "/nothing"), /*to_head=*/true).status, 401);
  EXPECT_EQ(Call(Request("DELETE", "/whole", key)).Header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(Call(Request("GET", "/whole")).status, 200) << "a handler sees to itself";
  EXPECT_EQ(Call(Request("GET", "/probe")).status, 200);
}

TEST_F(SemanticsTest, EveryReplyHasDateAndId) {
  options_.limits.connections = 1;
  Start();
  const std::string day = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]+ [A-Z][a-z]+ [0-9]+ [0-9:]+ GMT";
  const auto expect_both = [&](const TestReply& reply, int status) {
    EXPECT_EQ(reply.status, status);
    EXPECT_THAT(reply.Header("date"), MatchesRegex(day)) << reply.head;
    EXPECT_EQ(reply.Header("x-request-id").size(), 32u) << reply.head;
  };
  expect_both(Call(Request("GET", "/whole")), 200);
  expect_both(Call(Request("GET", "/stream"), /*to_head=*/true), 200);
  expect_both(Call("garbage\r\n\r\n"), 400);
  TestClient served(server_->port());
  served.Send(Request("GET", "/wait"));
  waiting_.WaitForNotification();
  expect_both(Call(""), 503);
}

TEST_F(SemanticsTest, A401SaysHowToAuthenticate) {
  Start();
  EXPECT_EQ(Call(Request("POST", "/refuse")).Header("www-authenticate"), "Bearer");
  EXPECT_EQ(Call(Request("GET", "/whole")).Header("www-authenticate"), "");
}

TEST_F(SemanticsTest, ATailIsDecoded) {
  Start();
  EXPECT_EQ(Call(Request("GET", "/tail/Qwen/QwQ-32B")).body, "Qwen/QwQ-32B");
  EXPECT_EQ(Call(Request("GET", "/tail/Qwen%2FQwQ-32B?x=1")).body, "Qwen/QwQ-32B");
  EXPECT_EQ(Call(Request("GET", "/tail/")).status, 404);
  EXPECT_EQ(Call(Request("DELETE", "/tail/a")).Header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("quire_http_requests_total{plane=\"api\",route=\"/tail/*\",status=\"2xx\"} 2"));
}

TEST_F(SemanticsTest, EachRequestIsRecordedAtItsEnd) {
  Start();
  const std::string id = Call(Request("GET", "/stream"), /*to_head=*/true).Header("x-request-id");
  const RequestRecord stream = NextRecord();
  EXPECT_EQ(stream.request_id, id);
  EXPECT_EQ(stream.method, "GET");
  EXPECT_EQ(stream.route, "/stream");
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.key_id, "key");
  EXPECT_EQ(stream.finish, "stop");
  EXPECT_EQ(stream.completion_tokens, 1u);
  EXPECT_EQ(stream.error, "");
  EXPECT_GT(stream.first_token_ms, 0);
  EXPECT_GE(stream.total_ms, stream.first_token_ms);
  Call(Request("POST", "/refuse"));
  EXPECT_EQ(NextRecord().error, "invalid_api_key");
  Call(Request("FROBNICATE", "/secret"));
  const RequestRecord unknown = NextRecord();
  EXPECT_EQ(unknown.method + " " + unknown.route, "other other") << "no byte of the client's own";
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.error, "no_route");
  Call("garbage\r\n\r\n");
  EXPECT_EQ(NextRecord().error, "syntax");
}

TEST_F(SemanticsTest, ProbesAreNotRecorded) {
  Start();
  EXPECT_EQ(Call(Request("GET", "/probe")).body, "yes");
  EXPECT_EQ(Call(Request("GET", "/whole")).body, "whole");
  EXPECT_EQ(NextRecord().route, "/whole");
}

TEST_F(SemanticsTest, AClientThatLeavesIsRecordedAsGone) {
  Start();
  TestClient client(server_->port());
  client.Send(Request("GET", "/wait"));
  waiting_.WaitForNotification();
  client.Reset();
  const RequestRecord record = NextRecord();
  EXPECT_EQ(record.status, kStatusClientGone);
  EXPECT_EQ(record.error, "client_gone");
}

// A load balancer goes on sending until it has seen that we leave.
TEST_F(SemanticsTest, WhoLeavesStillAnswersAndEndsEachConnection) {
  Start();
  TestClient kept(server_->port());
  kept.Send(Request("GET", "/whole"));
  TestReplies replies(kept);
  EXPECT_EQ(replies.Next().Header("connection"), "");
  server_->Leave();
  const TestReply fresh = Call(Request("GET", "/whole"));
  EXPECT_EQ(fresh.status, 200);
  EXPECT_EQ(fresh.Header("connection"), "close");
  kept.Send(Request("GET", "/whole"));
  EXPECT_EQ(replies.Next().Header("connection"), "close");
  EXPECT_EQ(replies.Rest(), "");
  server_->Drain(std::chrono::minutes(1));
  EXPECT_FALSE(TestClient(server_->port()).connected());
}

}  // namespace
}  // namespace quire::http
