#include "base/process/kept_port.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace quire {
namespace {

constexpr int kLocalPortRange = 51;  // IP_LOCAL_PORT_RANGE, Linux 6.3

sockaddr_in Loopback(int port, const char* host = "127.0.0.1") {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = inet_addr(host);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Bind(const Fd& socket, int port, const char* host = "127.0.0.1") {
  const sockaddr_in address = Loopback(port, host);
  return bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

Fd Socket(bool reuse) {
  Fd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = reuse ? 1 : 0;
  setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return socket_fd;
}

int PortOf(const Fd& socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  return getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0
             ? ntohs(address.sin_port)
             : -1;
}

TEST(KeptPort, AProgramThatNamesItCanListenBesideItAgainAndAgain) {
  const KeptPort kept = *KeptPort::Keep("127.0.0.1", 0);
  ASSERT_GT(kept.port(), 0);
  for (int i = 0; i < 3; ++i) {
    const Fd server = Socket(true), client = Socket(false);
    ASSERT_EQ(Bind(server, kept.port()), 0);
    ASSERT_EQ(listen(server.get(), 1), 0);
    const sockaddr_in address = Loopback(kept.port());
    EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_FALSE(KeptPort::Keep("127.0.0.1", kept.port()).ok());  // one listens: taken is taken
  }
}

TEST(KeptPort, NobodyGetsItByAskingForAnyPort) {
  const KeptPort kept = *KeptPort::Keep("127.0.0.1", 0);
  for (const bool reuse : {false, true}) {
    const Fd other = Socket(reuse);
    const auto port = static_cast<uint32_t>(kept.port());
    const uint32_t only_this = port << 16 | port;
    if (setsockopt(other.get(), IPPROTO_IP, kLocalPortRange, &only_this, sizeof only_this) != 0) {
      GTEST_SKIP() << "this kernel has no IP_LOCAL_PORT_RANGE";
    }
    EXPECT_EQ(Bind(other, 0), EADDRINUSE);
  }
}

// The same on any kernel, of an address that nobody else uses. Were it given like the others, one of so many
// would be it, but for a chance of one in a thousand.
TEST(KeptPort, IsNotAmongThePortsThatAreGiven) {
  constexpr const char* kOurs = "127.77.66.55";
  const KeptPort kept = *KeptPort::Keep(kOurs, 0);
  for (int i = 0; i < 200'000; ++i) {
    const Fd other = Socket(/*reuse=*/i % 2 == 0);
    ASSERT_EQ(Bind(other, 0, kOurs), 0);
    ASSERT_NE(PortOf(other), kept.port());
  }
}

TEST(KeptPort, ATakenPortIsNamed) {
  const Fd taken = Socket(false);
  ASSERT_EQ(Bind(taken, 0), 0);
  const absl::Status error = KeptPort::Keep("127.0.0.1", PortOf(taken)).status();
  EXPECT_TRUE(absl::IsUnavailable(error));
  EXPECT_THAT(std::string(error.message()), testing::HasSubstr(std::to_string(PortOf(taken))));
  EXPECT_THAT(std::string(error.message()), testing::HasSubstr("choose another port"));
}

// The first can be no name, so nobody is asked for it; the second is nobody's address (RFC 5737).
TEST(KeptPort, AHostThatIsNotOursIsNamed) {
  for (const std::string& host : {std::string(64, 'a'), std::string("192.0.2.1")}) {
    const std::string error(KeptPort::Keep(host, 0).status().message());
    EXPECT_THAT(error, testing::AllOf(testing::HasSubstr(host), testing::HasSubstr("address of this machine"),
                                      testing::Not(testing::HasSubstr("another port"))));
  }
}

}  // namespace
}  // namespace quire
