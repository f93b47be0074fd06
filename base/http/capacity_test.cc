// A server whose places are all taken: those who ask for nothing make room, those who are served don't.
#include <gmock/gmock.h>

#include <filesystem>
#include <iterator>
#include <thread>

#include "base/async/mailbox.h"
#include "base/http/metrics_plane.h"
#include "base/http/test_server.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;

class CapacityTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    options_.limits.connections = 2;
    routes_.Add("GET", "/whole", [](Exchange& e) { return e.Send({.body = "whole"}); });
    routes_.Add("GET", "/wait", [this](Exchange& e) { return WaitUntilGone(e); });
  }

  asio::awaitable<void> WaitUntilGone(Exchange& exchange) {
    auto gone = std::make_shared<Mailbox<bool>>();
    exchange.OnGone([gone] { gone->Push(true); });
    waiting_.TryPush(true);
    co_await gone->Wait();
  }
  // Takes a place that is not given up.
  void BeServed(TestClient& client) {
    client.Send(Request("GET", "/wait"));
    waiting_.Pop();
  }

  // Connections are counted in the threads' own time.
  void AwaitConnections(int count) {
    const std::string shown = "quire_http_connections{plane=\"api\"} " + std::to_string(count) + "\n";
    while (metrics_.Text().find(shown) == std::string::npos) std::this_thread::yield();
  }

  double ReceivedBytes() const {
    const std::string name = "quire_http_received_bytes_total{plane=\"api\"} ", text = metrics_.Text();
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
  }
  static int64_t OpenDescriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  }

  BoundedQueue<bool> waiting_{100};
};

TEST_F(CapacityTest, WhoIsServedKeepsItsPlace) {
  Start();
  auto first = std::make_unique<TestClient>(server_->port());
  TestClient second(server_->port());
  BeServed(*first);
  BeServed(second);
  for (int i = 0; i < 3; ++i) {
    const TestReply refused = Call("");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.Header("connection"), "close");
  }
  first->Reset();
  ExpectServedAgain("/whole");
}

TEST_F(CapacityTest, WhoAsksForNothingMakesRoomTheOldestFirst) {
  Start();
  TestClient busy(server_->port()), silent(server_->port());
  BeServed(busy);
  TestClient half(server_->port());  // and silent goes
  half.Send("GET /wh");
  EXPECT_EQ(silent.ReadToEnd(), "");
  TestClient kept(server_->port());  // and half goes
  EXPECT_EQ(half.ReadToEnd(), "");
  kept.Send(Request("GET", "/whole"));
  EXPECT_EQ(TestReplies(kept).Next().body, "whole");
  EXPECT_EQ(Call(Request("GET", "/whole")).body, "whole");  // and kept, which is idle again
  EXPECT_EQ(kept.ReadToEnd(), "");
  EXPECT_FALSE(busy.HasReply());
}

// Connections go to the threads in turns: the newcomer's own one has none that could go.
TEST_F(CapacityTest, WhoAsksForNothingMakesRoomOnAnyThread) {
  options_.threads = 3;
  options_.limits.connections = 3;
  Start();
  TestClient busy(server_->port()), other(server_->port()), silent(server_->port());
  BeServed(busy);
  BeServed(other);
  AwaitConnections(3);
  TestClient newcomer(server_->port());
  newcomer.Send(Request("GET", "/whole"));
  ASSERT_EQ(TestReplies(newcomer).Next().body, "whole");
  EXPECT_EQ(silent.ReadToEnd(), "");
  BeServed(newcomer);  // its next request
  EXPECT_EQ(Call("").status, 503) << "now all are served";
  EXPECT_FALSE(busy.HasReply());
  EXPECT_FALSE(other.HasReply());
}

// Whoever bounds connections by the descriptors that there are goes by it.
TEST_F(CapacityTest, AConnectionHoldsNoMoreDescriptorsThanAreCountedForIt) {
  constexpr int kClients = 20;
  options_.limits.connections = kClients + 1;
  Start();
  TestClient other(server_->port());
  other.Send(Request("GET", "/whole"));
  EXPECT_EQ(TestReplies(other).Next().body, "whole");
  const int64_t before = OpenDescriptors();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<TestClient>(server_->port()));
    BeServed(*clients.back());
    clients.back()->Send(std::string(2 * options_.limits.head_bytes, 'x'));
  }
  const double ahead = static_cast<double>(kClients * options_.limits.head_bytes);
  while (ReceivedBytes() < ahead) std::this_thread::yield();
  other.Send(Request("GET", "/whole"));  // after what it has just read, the thread does this
  EXPECT_EQ(TestReplies(other).Next().body, "whole");
  EXPECT_EQ(OpenDescriptors() - before, kClients * (1 + kDescriptorsPerConnection)) << "with its client's";
}

TEST_F(CapacityTest, AnAddressMakesItsOwnRoom) {
  options_.limits.connections = 100;
  options_.limits.connections_per_ip = 1;
  Start();
  TestClient silent(server_->port());
  EXPECT_EQ(Call(Request("GET", "/whole")).body, "whole");
  EXPECT_EQ(silent.ReadToEnd(), "");
}

TEST_F(CapacityTest, ADrainEndsThoughPlacesWereGivenUp) {
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<TestClient>(server_->port()));
  EXPECT_EQ(Call(Request("GET", "/whole")).body, "whole");
  server_->Drain(std::chrono::minutes(1));
  for (const auto& client : clients) EXPECT_EQ(client->ReadToEnd(), "");
}

// Whoever can connect could otherwise take the probes away, for nothing.
TEST(MetricsPlaneCapacity, IdleConnectionsDontKeepProbesAway) {
  Metrics metrics;
  const auto plane = MetricsPlane::Start(
      {}, metrics, {.readiness = [] { return Readiness(); }, .metrics = [] { return std::string(); }});
  ASSERT_TRUE(plane.ok());
  std::vector<std::unique_ptr<TestClient>> idle;
  for (int i = 0; i < 300; ++i) idle.push_back(std::make_unique<TestClient>((*plane)->port()));
  TestClient probe((*plane)->port());
  probe.Send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(TestReplies(probe).Next().status, 200);
}

}  // namespace
}  // namespace quire::http
