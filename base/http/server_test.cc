// The public server against hostile and broken clients on raw sockets (notes: faults C.6, HTTP 1-24): each
// gets the right refusal or a clean close, and the server goes on serving.
#include "base/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/http/error_body.h"
#include "base/http/exchange.h"
#include "base/http/test_client.h"
#include "base/http/test_gzip.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

asio::awaitable<void> EchoBody(Exchange& exchange) {
  std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return;
  Reply reply;
  reply.body = "echo:" + *body;
  co_await exchange.Send(std::move(reply));
}

asio::awaitable<void> ListModels(Exchange& exchange) {
  Reply reply;
  reply.body = "models";
  co_await exchange.Send(std::move(reply));
}

asio::awaitable<void> RefuseBeforeBody(Exchange& exchange) {
  ApiError error;
  error.status = 401;
  error.message = "no";
  co_await exchange.Send(ErrorReply(error));
}

asio::awaitable<void> AnswerNothing(Exchange&) { co_return; }

std::string Post(const std::string& headers, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

std::string Get(const std::string& headers = "", const std::string& target = "/v1/models") {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.threads = 2;
    options_.limits.body_bytes = 1 << 20;
    options_.limits.inflated_body_bytes = 1 << 20;
  }

  void Start() {
    RouteTable routes;
    routes.Add("POST", "/echo", EchoBody);
    routes.Add("GET", "/v1/models", ListModels);
    routes.Add("POST", "/refuse", RefuseBeforeBody);
    routes.Add("GET", "/nothing", AnswerNothing);
    auto server = Server::Start(options_, std::move(routes), metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Sends the bytes and returns all that comes back until the server closes.
  std::string Exchange(const std::string& bytes) {
    TestClient client(server_->port());
    client.Send(bytes);
    const std::string reply = client.ReadToEnd();
    EXPECT_TRUE(client.closed_by_server());
    return reply;
  }

  // Asks again where it was itself too late: a busy machine may stall it past a test's short limit.
  void ExpectStillServing() {
    std::string reply;
    while (reply.empty() || reply.starts_with("HTTP/1.1 408")) {
      TestClient client(server_->port());
      ASSERT_TRUE(client.connected());
      client.Send(Get());
      reply = client.ReadUntil("models");
    }
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  }

  HttpServerOptions options_;
  Metrics metrics_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  Start();
  TestClient client(server_->port());
  client.Send(Post("Content-Length: 2\r\n", "hi"));
  const std::string first = client.ReadUntil("echo:hi");
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(first, HasSubstr("content-length: 7\r\n"));
  EXPECT_THAT(first, HasSubstr("x-request-id: "));
  EXPECT_THAT(first, Not(HasSubstr("connection: close")));
  client.Send(Get("Connection: close\r\n"));
  const std::string second = client.ReadToEnd();
  EXPECT_THAT(second, HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("quire_http_requests_total{plane=\"api\",route=\"/echo\",status=\"2xx\"} 1"));
}

TEST_F(ServerTest, RefusesBadHeadsAndClosesAndGoesOn) {
  Start();
  std::string many_headers;
  for (int i = 0; i < 10'000; ++i) absl::StrAppend(&many_headers, "X", i, ": a\r\n");
  const struct {
    const char* name;
    std::string bytes;
    const char* status;
  } cases[] = {
      {"1 header line of 64 KiB", Get("X: " + std::string(64 << 10, 'a') + "\r\n"), "431"},
      {"2 10,000 headers", Get(many_headers), "431"},
      {"7 gzip and length", Post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "hello"), "400"},
      {"7 length and gzip", Post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "hello"), "400"},
      {"8 chunked on 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"9 chunked, identity", Post("Transfer-Encoding: chunked, identity\r\n"), "400"},
      {"10 length twice", Post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "400"},
      {"10 length list", Post("Content-Length: 5, 5\r\n", "hello"), "400"},
      {"11 two hosts", Get("Host: b\r\n"), "400"},
      {"11 no host", "GET /v1/models HTTP/1.1\r\n\r\n", "400"},
      {"11 host with a path", "GET /v1/models HTTP/1.1\r\nHost: a/?x=#\r\n\r\n", "400"},
      {"12 two authorizations", Get("Authorization: a\r\nAuthorization: b\r\n"), "400"},
      {"12 bearer of 64 KiB", Get("Authorization: Bearer " + std::string(64 << 10, 'a') + "\r\n"), "431"},
      {"12 NUL", Get(std::string("Authorization: a\0b\r\n", 20)), "400"},
      {"13 fold", Get("X: a\r\n b\r\n"), "400"},
      {"17 absolute form", Get("Connection: close\r\n", "http://a/v1/models"), "200"},
      {"17 double slash", Get("", "//v1/models"), "400"},
      {"17 dot segments", Get("", "/v1/../admin"), "400"},
      {"17 encoded dots", Get("", "/%2e%2e/v1/models"), "400"},
      {"17 encoded NUL", Get("", "/v1/models%00"), "400"},
      {"17 parameters", Get("Connection: close\r\n", "/v1/models;a=b"), "404"},
      {"18 CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400"},
      {"18 TRACE", "TRACE /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405"},
      {"18 garbage method", "HELLO /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "501"},
      {"18 small method", "get /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "501"},
      {"18 garbage", "\x80\x81\x82\r\n\r\n", "400"},
      {"19 TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), "400"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Exchange(c.bytes), StartsWith(std::string("HTTP/1.1 ") + c.status)) << c.name;
  }
  ExpectStillServing();
  EXPECT_THAT(metrics_.Text(), HasSubstr("quire_http_refusals_total{plane=\"api\",rule=\"obs_fold\"} 1"));
}

TEST_F(ServerTest, SqlInABearerIsJustABearer) {
  Start();
  TestClient client(server_->port());
  client.Send(Get("Authorization: Bearer ' OR 1=1--\r\n"));
  EXPECT_THAT(client.ReadUntil("models"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, RefusesBadBodiesAndClosesAndGoesOn) {
  options_.limits.body_bytes = 150'000;
  options_.limits.inflated_body_bytes = 100'000;
  Start();
  const std::string chunked = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
  std::string trailers = "0\r\n", extensions;
  for (int i = 0; i < 20'000; ++i) trailers += "A: b\r\n";
  for (int i = 0; i < 100; ++i) extensions += "1;" + std::string(4096, 'x') + "\r\na\r\n";
  const std::string bomb = Gzip(std::string(20 << 20, 'a'));
  ASSERT_LT(bomb.size(), options_.limits.body_bytes);
  const std::string encoded = "Connection: close\r\nContent-Length: " + std::to_string(bomb.size()) + "\r\n";
  const struct {
    const char* name;
    std::string bytes;
    const char* status;
  } cases[] = {
      {"5 length of 1 GB, then silence", Post("Content-Length: 1000000000\r\n"), "413"},
      {"chunks beyond the limit", Post(chunked, "30d40\r\n" + std::string(200'000, 'a')), "413"},
      {"14 120 KB of trailers", Post(chunked, trailers), "400"},
      {"15 extension flood", Post(chunked, extensions), "400"},
      {"15 huge chunk size", Post(chunked, "ffffffffffffffffffff\r\n"), "400"},
      {"24 gzip bomb", Post("Content-Encoding: gzip\r\n" + encoded, bomb), "413"},
      {"24 deflate", Post("Content-Encoding: deflate\r\n" + encoded, bomb), "415"},
      {"24 gzip twice", Post("Content-Encoding: gzip, gzip\r\n" + encoded, bomb), "415"},
      {"24 gzip, then another header",
       Post("Content-Encoding: gzip\r\nContent-Encoding: br\r\n" + encoded, bomb), "415"},
      {"24 not gzip", Post("Content-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n", "{}"),
       "400"},
      {"unknown expectation", Post("Expect: miracles\r\nContent-Length: 2\r\n"), "417"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Exchange(c.bytes), StartsWith(std::string("HTTP/1.1 ") + c.status)) << c.name;
  }
  ExpectStillServing();
}

TEST_F(ServerTest, ReadsChunkedAndGzipBodies) {
  Start();
  EXPECT_THAT(
      Exchange(Post("Connection: close\r\nTransfer-Encoding: chunked\r\n", "2;x\r\nhi\r\n0\r\nA: b\r\n\r\n")),
      HasSubstr("echo:hi"));
  const std::string body = Gzip("hello");
  const std::string length = "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  for (const char* coding : {"GZIP", "x-gzip", "identity, gzip", ", gzip"}) {
    EXPECT_THAT(Exchange(Post(absl::StrCat(length, "Content-Encoding: ", coding, "\r\n"), body)),
                HasSubstr("echo:hello"))
        << coding;
  }
  for (const char* coding : {"", "identity", " , "}) {
    EXPECT_THAT(
        Exchange(
            Post(absl::StrCat("Connection: close\r\nContent-Length: 2\r\nContent-Encoding: ", coding, "\r\n"),
                 "hi")),
        HasSubstr("echo:hi"))
        << coding;
  }
}

// 3: the head's time is for the whole head: silence, and bytes that keep dripping in, end alike.
TEST_F(ServerTest, ADrippingHeadTimesOut) {
  options_.limits.head_timeout = milliseconds(100);
  options_.limits.head_bytes = 64 << 20;  // the drip below must not get there
  Start();
  std::string silent, dripping;  // no reply where this machine took so long that no byte came in time
  while (silent.empty()) silent = Exchange("GET /v1/models HTTP/1.1\r\nHost");
  EXPECT_THAT(silent, StartsWith("HTTP/1.1 408"));
  while (dripping.empty()) {
    TestClient client(server_->port());
    client.Send("GET /v1/models HTTP/1.1\r\nX: ");
    while (!client.HasReply()) client.Send("a");
    dripping = client.ReadUntil("\r\n\r\n");
  }
  EXPECT_THAT(dripping, StartsWith("HTTP/1.1 408"));
  ExpectStillServing();
}

// 4, 6 (longer than sent), 20: a body that drips or never comes.
TEST_F(ServerTest, ASlowBodyTimesOut) {
  options_.limits.body_grace = milliseconds(100);
  options_.limits.body_timeout = milliseconds(300);
  Start();
  EXPECT_THAT(Exchange(Post("Content-Length: 100\r\n", "hello")), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(Exchange(Post("Content-Length: 100\r\nExpect: 100-continue\r\n")),
              StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408"));
  ExpectStillServing();
}

// 6, shorter than sent: the rest is the next request, and no valid one.
TEST_F(ServerTest, BytesBeyondTheBodyAreTheNextRequest) {
  Start();
  const std::string reply = Exchange(Post("Content-Length: 2\r\n", "hi\x01"));
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(reply, HasSubstr("echo:hiHTTP/1.1 400"));
}

// 16
TEST_F(ServerTest, AnswersPipelinedRequestsInOrderUpToTheConnectionsCap) {
  options_.limits.requests_per_connection = 500;
  Start();
  std::string requests;
  for (int i = 0; i < 1000; ++i) {
    const std::string body = std::to_string(i);
    requests += Post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  }
  const std::string replies = Exchange(requests);
  size_t at = 0;
  for (int i = 0; i < 500; ++i) {
    const size_t found = replies.find("echo:" + std::to_string(i), at);
    ASSERT_NE(found, std::string::npos) << i;
    at = found;
  }
  EXPECT_THAT(replies, Not(HasSubstr("echo:500")));
  EXPECT_THAT(replies, HasSubstr("connection: close"));
}

// 21
TEST_F(ServerTest, AnswersAClientThatClosedItsSideAfterAsking) {
  Start();
  TestClient client(server_->port());
  client.Send(Post("Content-Length: 2\r\n", "hi"));
  client.HalfClose();
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("echo:hi"));
  TestClient cut(server_->port());
  cut.Send(Post("Content-Length: 20\r\n", "hi"));
  cut.HalfClose();
  EXPECT_EQ(cut.ReadToEnd(), "");
  ExpectStillServing();
}

TEST_F(ServerTest, RefusesByRouteAndByHandlerBeforeTheBody) {
  Start();
  TestClient client(server_->port());
  client.Send("DELETE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("}}"), HasSubstr("allow: GET, HEAD, OPTIONS\r\n"));
  client.Send(Get("", "/v1/nothing"));  // the same connection: a refusal without a body costs it nothing
  EXPECT_THAT(client.ReadUntil("}}"), StartsWith("HTTP/1.1 404"));
  const std::string refused = Exchange("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(refused, HasSubstr("connection: close"));
  EXPECT_THAT(
      refused,
      HasSubstr(R"({"error":{"message":"no","type":"authentication_error","param":null,"code":null}})"));
}

TEST_F(ServerTest, AHandlerThatDoesNotAnswerIsAnswered500) {
  Start();
  EXPECT_THAT(Exchange(Get("Connection: close\r\n", "/nothing")), StartsWith("HTTP/1.1 500"));
}

TEST_F(ServerTest, ClosesIdleConnections) {
  options_.limits.idle_timeout = milliseconds(50);
  Start();
  TestClient client(server_->port());
  client.Send(Get());
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("models"));
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ServerTest, SaysThatAPortIsTaken) {
  Start();
  HttpServerOptions taken;
  taken.port = server_->port();
  Metrics other;
  const auto second = Server::Start(taken, RouteTable(), other);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("choose another port"));
}

}  // namespace
}  // namespace quire::http
