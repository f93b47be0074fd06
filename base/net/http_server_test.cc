#include "base/net/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace quire {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Sends `bytes` to the port, half-closes and returns all that comes back.
std::string Exchange(int port, const std::string& bytes) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  shutdown(fd, SHUT_WR);
  std::string reply;
  char chunk[4096];
  for (ssize_t got; (got = recv(fd, chunk, sizeof chunk, 0)) > 0;) reply.append(chunk, got);
  close(fd);
  return reply;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start("127.0.0.1", 0, [](const HttpRequest& request) {
      HttpReply reply;
      reply.status = request.path == "/missing" ? 404 : 200;
      reply.body = request.method + " " + request.path + " " + request.body;
      for (const auto& [name, value] : request.query) reply.body += " " + name + "=" + value;
      const auto key = request.headers.find("authorization");
      if (key != request.headers.end()) reply.body += " key=" + key->second;
      return reply;
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, HandsOverMethodPathQueryHeadersAndBody) {
  const std::string reply =
      Exchange(server_->port(),
               "POST /admin/v1/keys?name=a%20b&x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"
               "Content-Length: 2\r\n\r\n{}");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("POST /admin/v1/keys {} name=a b x=1 key=Bearer k"));
}

TEST_F(HttpServerTest, KeepsTheConnectionForTheNextRequest) {
  const std::string reply =
      Exchange(server_->port(), "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /missing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(reply, HasSubstr("GET /a "));
  EXPECT_THAT(reply, HasSubstr("404 Not Found"));
}

TEST_F(HttpServerTest, RefusesWhatIsTooLargeOrNoHttp) {
  const int port = server_->port();
  EXPECT_THAT(Exchange(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Exchange(port, "GET / HTTP/1.1\r\nX: " + std::string(20000, 'a') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Exchange(port, "hello\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(Exchange(port, "GET / HT"), "");
  EXPECT_THAT(Exchange(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, SaysThatAPortIsTaken) {
  auto second =
      HttpServer::Start("127.0.0.1", server_->port(), [](const HttpRequest&) { return HttpReply(); });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("choose another port"));
}

}  // namespace
}  // namespace quire
