// Clients whose machine is gone: no FIN and no RST ever comes, so that only the kernel's probes can tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <string>

#include "base/async/mailbox.h"
#include "base/http/test_server.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;

int PortOf(int descriptor, int (*name)(int, sockaddr*, socklen_t*)) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (name(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  return address.sin_family == AF_INET ? ntohs(address.sin_port) : -1;
}

// The server's end of a client's connection: both are in this process. -1: there is none.
int ServersEnd(const TestClient& client) {
  const int clients_port = PortOf(client.descriptor(), getsockname);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string name = entry.path().filename();
    int descriptor = -1;
    std::from_chars(name.data(), name.data() + name.size(), descriptor);
    if (PortOf(descriptor, getpeername) == clients_port) return descriptor;
  }
  return -1;
}

int OptionOf(int descriptor, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(descriptor, level, option, &value, &size), 0);
  return value;
}

class VanishedClientTest : public HttpTest {
 protected:
  // Answers nothing, until its client is gone.
  void SetUp() override {
    HttpTest::SetUp();
    routes_.Add("GET", "/wait", [this](Exchange& exchange) -> asio::awaitable<void> {
      auto gone = std::make_shared<Mailbox<bool>>();
      exchange.OnGone([gone] { gone->Push(true); });
      waiting_.Notify();
      (co_await gone->Wait()).clear();
    });
  }
  Notification waiting_;
};

TEST_F(VanishedClientTest, TheKernelAsksForTheClientAndGivesItUp) {
  Start();
  TestClient client(server_->port());
  client.Send(Request("GET", "/wait"));
  waiting_.WaitForNotification();
  const int socket = ServersEnd(client);
  ASSERT_GE(socket, 0);
  EXPECT_EQ(OptionOf(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(OptionOf(socket, IPPROTO_TCP, TCP_KEEPIDLE), options_.limits.peer_idle.count());
  EXPECT_EQ(OptionOf(socket, IPPROTO_TCP, TCP_KEEPINTVL), options_.limits.peer_probe_interval.count());
  // Where something is on its way to the client nothing is asked: only this ends the wait for its receipt.
  EXPECT_EQ(OptionOf(socket, IPPROTO_TCP, TCP_USER_TIMEOUT), options_.limits.peer_timeout.count() * 1000);
}

// A socket that is closed while it is under repair says nothing to its peer.
TEST_F(VanishedClientTest, ARequestOfAClientThatIsGoneWithoutAWordEnds) {
  options_.limits.peer_idle = std::chrono::seconds(1);
  Start();
  TestClient client(server_->port());
  client.Send(Request("GET", "/wait"));
  waiting_.WaitForNotification();
  const int on = 1;
  if (setsockopt(client.descriptor(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) {
    GTEST_SKIP() << "needs CAP_NET_ADMIN";
  }
  client.Close();
  EXPECT_EQ(NextRecord().error, "client_gone");
}

}  // namespace
}  // namespace quire::http
