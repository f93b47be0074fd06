// The client of HTTPS against real TLS on loopback, its resolver and its rule about addresses scripted.
#include "base/http/https_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <map>

#include "base/http/public_address.h"
#include "base/http/test_tls_receiver.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr milliseconds kPatience{60'000};
const char kOk[] = "HTTP/1.1 204 No Content\r\n\r\n";

class HttpsClientTest : public ::testing::Test {
 protected:
  // What names lead to: each look-up takes one list, the last one stays.
  std::map<std::string, std::vector<std::vector<std::string>>> names_ = {
      {"hooks.example", {{"127.0.0.1"}}}, {"localhost", {{"127.0.0.1"}}}, {"other.example", {{"127.0.0.1"}}}};
  HttpsClient::MayReach may_reach_ = [](const HttpsUrl&, const asio::ip::address&) { return true; };
  std::function<void(std::function<void()> end)> on_end_;
  std::atomic<int> lookups_ = 0;
  bool trusts_ = true;
  asio::io_context context_;

  static std::optional<std::string> Fine(const std::string& /*request*/) { return kOk; }

  absl::StatusOr<int> Post(const std::string& host, int port, milliseconds limit = kPatience) {
    HttpsClient::Options options;
    if (trusts_) options.ca_file = Certificate().cert();
    options.may_reach = may_reach_;
    options.resolve = [this](const HttpsPost& post, milliseconds) { return Resolve(post.url.host); };
    const auto client = *HttpsClient::Make(std::move(options));
    HttpsPost post{.url = {.host = host, .port = static_cast<uint16_t>(port), .target = "/a?b"},
                   .headers = {{"content-type", "application/json"}},
                   .body = "{\"x\":1}",
                   .on_end = on_end_};
    context_.restart();
    auto status = asio::co_spawn(context_, client->Post(std::move(post), limit), asio::use_future);
    context_.run();
    return status.get();
  }

  // The status, or what there was in its place.
  std::string Told(const std::string& host, int port) {
    const absl::StatusOr<int> status = Post(host, port);
    return status.ok() ? absl::StrCat(*status) : status.status().ToString();
  }

  static const TestCertificate& Certificate() {
    static const TestCertificate certificate;
    return certificate;
  }

 private:
  asio::awaitable<absl::StatusOr<HttpsClient::Addresses>> Resolve(std::string name) {
    ++lookups_;
    std::vector<std::vector<std::string>>& lists = names_[name];
    HttpsClient::Addresses addresses;
    if (lists.empty()) co_return absl::UnavailableError("the name is not known");
    for (const std::string& text : lists.front()) addresses.push_back(asio::ip::make_address(text));
    if (lists.size() > 1) lists.erase(lists.begin());
    co_return addresses;
  }
};

TEST_F(HttpsClientTest, PostsOnce) {
  TestTlsReceiver receiver(Certificate(), Fine);
  const absl::StatusOr<int> status = Post("hooks.example", receiver.port());
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(*status, 204);
  ASSERT_EQ(receiver.requests().size(), 1u);
  const std::string request = receiver.requests()[0];
  EXPECT_EQ(request.rfind("POST /a?b HTTP/1.1\r\n", 0), 0u) << request;
  EXPECT_NE(request.find(absl::StrCat("Host: hooks.example:", receiver.port(), "\r\n")), std::string::npos)
      << request;
  EXPECT_NE(request.find("content-type: application/json\r\n"), std::string::npos) << request;
  EXPECT_EQ(request.substr(request.find("\r\n\r\n")), "\r\n\r\n{\"x\":1}");
}

TEST_F(HttpsClientTest, ACertificateHasToBeTrustedAndOfTheName) {
  TestTlsReceiver receiver(Certificate(), Fine);
  EXPECT_EQ(Post("other.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable);
  trusts_ = false;
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(receiver.connections(), 2);
  EXPECT_TRUE(receiver.requests().empty());
}

TEST_F(HttpsClientTest, ARedirectIsAStatusAndNoMore) {
  TestTlsReceiver elsewhere(Certificate(), Fine);
  TestTlsReceiver receiver(Certificate(), [&](const std::string&) {
    return absl::StrCat("HTTP/1.1 307 Temporary Redirect\r\nLocation: https://localhost:", elsewhere.port(),
                        "/\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_EQ(Told("hooks.example", receiver.port()), "307");
  EXPECT_EQ(elsewhere.connections(), 0);
}

// A name that is public when it is looked at and private when it is connected to.
TEST_F(HttpsClientTest, TheAddressThatWasCheckedIsTheOneThatIsReached) {
  TestTlsReceiver checked(Certificate(), Fine, "127.0.0.2");
  TestTlsReceiver inner(Certificate(), Fine, "127.0.0.1", checked.port());
  names_["hooks.example"] = {{"127.0.0.2"}, {"127.0.0.1"}};
  may_reach_ = [](const HttpsUrl&, const asio::ip::address& address) {
    return address.to_string() == "127.0.0.2";
  };
  EXPECT_EQ(Told("hooks.example", checked.port()), "204");
  EXPECT_EQ(lookups_, 1);
  EXPECT_EQ(checked.requests().size(), 1u);
  // The next look-up sees the other one.
  EXPECT_EQ(Post("hooks.example", checked.port()).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(inner.connections(), 0);
}

TEST_F(HttpsClientTest, EveryAddressIsLookedAt) {
  TestTlsReceiver receiver(Certificate(), Fine);
  may_reach_ = [](const HttpsUrl&, const asio::ip::address& address) { return IsPublicAddress(address); };
  for (const std::vector<std::string>& addresses : {std::vector<std::string>{"127.0.0.1"},
                                                    {"93.184.216.34", "127.0.0.1"},
                                                    {"2600::1", "::ffff:127.0.0.1"},
                                                    {"169.254.169.254"}}) {
    names_["hooks.example"] = {addresses};
    EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(receiver.connections(), 0);
}

TEST_F(HttpsClientTest, NobodyThereIsSaid) {
  EXPECT_EQ(Post("nowhere.example", 443).status().code(), absl::StatusCode::kUnavailable);
  names_["hooks.example"] = {{}, {"127.0.0.1"}};
  EXPECT_EQ(Post("hooks.example", 443).status().code(), absl::StatusCode::kUnavailable);
  int port = 0;
  {
    TestTlsReceiver gone(Certificate(), Fine);
    port = gone.port();
  }
  EXPECT_EQ(Post("hooks.example", port).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HttpsClientTest, WhoNeverAnswersIsLeft) {
  TestTlsReceiver receiver(Certificate(), [](const std::string&) { return std::nullopt; });
  EXPECT_EQ(Post("hooks.example", receiver.port(), milliseconds(300)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpsClientTest, ALongReplyIsNotKept) {
  const std::string much(1 << 20, 'x');
  std::string reply;
  TestTlsReceiver receiver(Certificate(), [&](const std::string&) { return reply; });
  reply = absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", much.size(), "\r\n\r\n", much);
  EXPECT_EQ(Told("hooks.example", receiver.port()), "200") << "its head is all that is wanted";
  reply =
      absl::StrCat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n", much, "\r\n0\r\n\r\n");
  EXPECT_EQ(Told("hooks.example", receiver.port()), "200");
  reply = absl::StrCat("HTTP/1.1 200 OK\r\nX: ", much, "\r\n\r\n");
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable);
  for (const char* broken : {"nonsense\r\n\r\n", "HTTP/1.1 200", "HTTP/9 200 OK\r\n\r\n", ""}) {
    reply = broken;
    EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable)
        << broken;
  }
}

TEST_F(HttpsClientTest, AnInterimReplyIsNotTheReply) {
  std::string reply;
  TestTlsReceiver receiver(Certificate(), [&](const std::string&) { return reply; });
  const std::string early = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
  reply = absl::StrCat("HTTP/1.1 100 Continue\r\n\r\n", early, kOk);
  EXPECT_EQ(Told("hooks.example", receiver.port()), "204");
  reply = absl::StrCat(early, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(Told("hooks.example", receiver.port()), "500");
  reply = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
  EXPECT_EQ(Told("hooks.example", receiver.port()), "101") << "no HTTP follows";
  reply.clear();
  for (int i = 0; i < 100; ++i) reply += early;
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable);
  reply += kOk;
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kUnavailable);
}

// Nobody takes its connections: once one waits, the system answers none.
class SilentPlace {
 public:
  SilentPlace(const char* address, int port)
      : acceptor_(context_), endpoint_(asio::ip::make_address(address), static_cast<uint16_t>(port)) {
    acceptor_.open(endpoint_.protocol());
    acceptor_.bind(endpoint_);
    acceptor_.listen(0);
    first_.connect(endpoint_);
  }

 private:
  asio::io_context context_;
  asio::ip::tcp::acceptor acceptor_;
  const asio::ip::tcp::endpoint endpoint_;
  asio::ip::tcp::socket first_{context_};
};

TEST_F(HttpsClientTest, AnAddressThatIsSilentLeavesTimeForTheNext) {
  TestTlsReceiver receiver(Certificate(), Fine);
  const SilentPlace silent("127.0.0.2", receiver.port());
  names_["hooks.example"] = {{"127.0.0.2", "127.0.0.1"}};
  const absl::StatusOr<int> status = Post("hooks.example", receiver.port(), milliseconds(8000));
  EXPECT_TRUE(status.ok()) << status.status();
  names_["hooks.example"] = {{"127.0.0.2"}};
  EXPECT_EQ(Post("hooks.example", receiver.port(), milliseconds(300)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpsClientTest, OneThatIsEndedWaitsForNobody) {
  std::function<void()> end;
  const auto end_soon = [&] { asio::post(context_, [&] { end(); }); };
  TestTlsReceiver receiver(Certificate(), [&](const std::string&) {
    end_soon();
    return std::nullopt;
  });
  on_end_ = [&](std::function<void()> how) { end = std::move(how); };
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kCancelled)
      << "a reply";
  EXPECT_FALSE(end) << "there is nothing to end any more";

  const SilentPlace silent("127.0.0.2", receiver.port());
  names_["hooks.example"] = {{"127.0.0.2", "127.0.0.1"}};
  on_end_ = [&](std::function<void()> how) {
    end = std::move(how);
    if (end) end_soon();
  };
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kCancelled)
      << "a connection";
  EXPECT_EQ(receiver.connections(), 1);
  on_end_ = [&](const std::function<void()>& how) {
    if (how) how();
  };
  EXPECT_EQ(Post("hooks.example", receiver.port()).status().code(), absl::StatusCode::kCancelled)
      << "before it";
}

TEST_F(HttpsClientTest, AFileWithoutCertificatesIsRefused) {
  HttpsClient::Options options;
  options.ca_file = "/nonexistent";
  EXPECT_EQ(HttpsClient::Make(std::move(options)).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quire::http
