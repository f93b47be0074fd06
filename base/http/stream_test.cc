// Server-sent streams over real sockets: framing, batching, keep-alive comments, clients that leave or never
// read, pipelining behind a stream, draining, and the count of what was delivered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/http/exchange.h"
#include "base/async/mailbox.h"
#include "base/http/server.h"
#include "base/http/test_client.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Lines = Mailbox<std::string>;

constexpr char kEnd[] = "end", kAbandon[] = "abandon", kGone[] = "gone";

struct Outcome {
  absl::Status status;
  uint64_t delivered = 0, appended = 0;
};

std::string GetPath(const std::string& path, const std::string& version = "1.1") {
  return "GET " + path + " HTTP/" + version + "\r\nHost: a\r\n\r\n";
}

class StreamTest : public ::testing::Test {
 protected:
  void Start() {
    RouteTable routes;
    routes.Add("GET", "/lines", [this](Exchange& exchange) { return StreamLines(exchange); });
    routes.Add("GET", "/flood", [this](Exchange& exchange) { return Flood(exchange); });
    routes.Add("GET", "/whole", [](Exchange& exchange) { return exchange.Send(Reply{200, "whole"}); });
    auto server = Server::Start(options_, std::move(routes), metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Streams what the test pushes into the mailbox, until it says how to end.
  asio::awaitable<void> StreamLines(Exchange& exchange) {
    auto lines = std::make_shared<Lines>();
    exchange.OnGone([lines] { lines->Push(kGone); });
    exchange.StartStream();
    (co_await exchange.SendFrames()).IgnoreError();
    started_.set_value(lines);
    std::string last;
    while (last != kEnd && last != kGone && last != kAbandon) {
      std::vector<std::string> ready = co_await lines->Wait();
      last = ready.back();
      if (last == kEnd || last == kGone || last == kAbandon) ready.pop_back();
      for (const std::string& line : ready) exchange.Append(line, 1);
      (co_await exchange.SendFrames()).IgnoreError();
    }
    if (last == kEnd) (co_await exchange.Finish()).IgnoreError();
    ended_.set_value({exchange.status(), exchange.delivered_units(), 0});
  }

  // Writes 1 KiB frames of one unit each for as long as they are taken.
  asio::awaitable<void> Flood(Exchange& exchange) {
    exchange.StartStream();
    const std::string frame(1024, 'x');
    Outcome outcome;
    while (outcome.status.ok()) {
      exchange.Append(frame, 1);
      ++outcome.appended;
      outcome.status = co_await exchange.SendFrames();
    }
    outcome.delivered = exchange.delivered_units();
    ended_.set_value(outcome);
  }

  std::shared_ptr<Lines> AwaitStarted() { return started_.get_future().get(); }
  Outcome AwaitEnded() { return ended_.get_future().get(); }

  HttpServerOptions options_;
  Metrics metrics_;
  std::promise<std::shared_ptr<Lines>> started_;
  std::promise<Outcome> ended_;
  std::unique_ptr<Server> server_;
};

TEST_F(StreamTest, StreamsChunksAndKeepsTheConnection) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("content-type: text/event-stream; charset=utf-8\r\n"));
  EXPECT_THAT(head, HasSubstr("transfer-encoding: chunked\r\n"));
  lines->Push("data: a\n\n");
  EXPECT_EQ(client.ReadUntil("\n\n\r\n"), "9\r\ndata: a\n\n\r\n");
  lines->Push("data: [DONE]\n\n");
  lines->Push(kEnd);
  EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("data: [DONE]\n\n\r\n0\r\n\r\n"));
  const Outcome outcome = AwaitEnded();
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.delivered, 2u);
  client.Send(GetPath("/whole"));
  EXPECT_THAT(client.ReadUntil("whole"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(StreamTest, AnHttp10StreamIsPlainAndEndsWithTheConnection) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines", "1.0"));
  const auto lines = AwaitStarted();
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, Not(HasSubstr("chunked")));
  EXPECT_THAT(head, HasSubstr("connection: close\r\n"));
  lines->Push("data: a\n\n");
  lines->Push(kEnd);
  EXPECT_EQ(client.ReadToEnd(), "data: a\n\n");
}

TEST_F(StreamTest, ManyThreadsMayPushAndNothingIsLost) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  std::vector<std::thread> producers;
  for (int p = 0; p < 4; ++p) {
    producers.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) lines->Push("data: x\n\n");
    });
  }
  for (std::thread& producer : producers) producer.join();
  lines->Push(kEnd);
  client.ReadUntil("\r\n0\r\n\r\n");
  EXPECT_EQ(AwaitEnded().delivered, 4000u);
}

TEST_F(StreamTest, SilenceIsFilledWithComments) {
  options_.limits.first_keep_alive = options_.limits.keep_alive_interval = milliseconds(20);
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  client.ReadUntil("\r\n\r\n");
  // One line, and no empty one behind it: that would end an event without data.
  EXPECT_EQ(client.ReadUntil("keep-alive\n\r\n").substr(0, 18), "d\r\n: keep-alive\n\r\n");
  EXPECT_THAT(client.ReadUntil("keep-alive\n\r\n"), HasSubstr("d\r\n: keep-alive\n\r\n"));
  lines->Push(kEnd);
  EXPECT_EQ(AwaitEnded().delivered, 0u);
}

TEST_F(StreamTest, TheFirstCommentDoesNotWaitForTheUsualInterval) {
  options_.limits.first_keep_alive = milliseconds(20);
  options_.limits.keep_alive_interval = std::chrono::hours(1);
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  client.ReadUntil("keep-alive\n\r\n");
  lines->Push("data: a\n\n");
  lines->Push(kEnd);
  EXPECT_EQ(client.ReadUntil("\r\n0\r\n\r\n"), "9\r\ndata: a\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(AwaitEnded().delivered, 1u);
}

TEST_F(StreamTest, AFrameTakesTheFirstCommentsPlace) {
  options_.limits.first_keep_alive = std::chrono::hours(1);
  options_.limits.keep_alive_interval = milliseconds(20);
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  lines->Push("data: a\n\n");
  EXPECT_THAT(client.ReadUntil(": keep-alive\n\r\n"), HasSubstr("data: a\n\n"));
  lines->Push(kEnd);
  AwaitEnded();
}

// 22, and a FIN: noticed while nothing is being written.
TEST_F(StreamTest, AClientThatLeavesIsNoticed) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  AwaitStarted();
  client.Close();
  EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kCancelled);
}

TEST_F(StreamTest, AResetIsNoticed) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  AwaitStarted();
  client.Reset();
  EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kCancelled);
}

// 23
TEST_F(StreamTest, AClientThatNeverReadsIsBoundedAndEnded) {
  options_.limits.write_timeout = milliseconds(100);
  options_.limits.queued_frames = 50;
  Start();
  TestClient client(server_->port(), /*receive_buffer=*/4096);
  client.Send(GetPath("/flood"));
  const Outcome outcome = AwaitEnded();
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LE(outcome.appended - outcome.delivered, 50u);
  EXPECT_THAT(metrics_.Text(), HasSubstr("quire_http_slow_readers_total{plane=\"api\"} 1"));
}

TEST_F(StreamTest, TheBoundOnBytesHoldsToo) {
  options_.limits.write_timeout = milliseconds(100);
  options_.limits.queued_bytes = 20 << 10;
  Start();
  TestClient client(server_->port(), /*receive_buffer=*/4096);
  client.Send(GetPath("/flood"));
  const Outcome outcome = AwaitEnded();
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LE(outcome.appended - outcome.delivered, 21u);
}

// TCP_USER_TIMEOUT counts from the client's first closed window, and also ends who acknowledges every probe.
TEST_F(StreamTest, AClientWhomTheKernelGivesUpForNotReadingIsASlowReader) {
  options_.limits.peer_timeout = std::chrono::seconds(1);
  options_.limits.write_timeout = std::chrono::minutes(2);
  Start();
  TestClient client(server_->port(), /*receive_buffer=*/4096);
  client.Send(GetPath("/flood"));
  EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(metrics_.Text(), HasSubstr("quire_http_slow_readers_total{plane=\"api\"} 1"));
}

TEST_F(StreamTest, ASlowReaderHurtsNobodyElse) {
  Start();
  TestClient slow(server_->port(), /*receive_buffer=*/4096);
  slow.Send(GetPath("/flood"));
  TestClient other(server_->port());
  other.Send(GetPath("/whole"));
  EXPECT_THAT(other.ReadUntil("whole"), StartsWith("HTTP/1.1 200"));
  slow.Close();
  EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kCancelled);
}

TEST_F(StreamTest, ARequestBehindAStreamIsServedAfterIt) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines") + GetPath("/whole"));
  const auto lines = AwaitStarted();
  client.Send(GetPath("/whole", "1.0"));
  lines->Push("data: a\n\n");
  lines->Push(kEnd);
  const std::string replies = client.ReadToEnd();
  EXPECT_THAT(replies, HasSubstr("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(replies, HasSubstr("wholeHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(replies, EndsWith("whole"));
}

TEST_F(StreamTest, NoRequestBehindAStreamIsLost) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  constexpr int kRequests = 200;
  std::string requests;
  for (int i = 0; i < kRequests; ++i) {
    requests += "GET /whole HTTP/1.1\r\nHost: a\r\nX: " + std::string(8000, 'x') + "\r\n\r\n";
  }
  std::thread sender([&] { client.Send(requests + GetPath("/whole", "1.0")); });
  lines->Push("data: a\n\n");
  lines->Push(kEnd);
  const std::string replies = client.ReadToEnd();
  sender.join();
  int answered = 0;
  for (size_t at = 0; (at = replies.find("whole", at)) != std::string::npos; ++at) ++answered;
  EXPECT_EQ(answered, kRequests + 1);
}

TEST_F(StreamTest, AFloodBehindAStreamStaysWithItsSenderAndEndsTheConnection) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  std::thread sender([&] { client.Send(std::string(64 << 20, 'x')); });
  lines->Push("data: a\n\n");
  lines->Push(kEnd);
  EXPECT_THAT(client.ReadUntil("HTTP/1.1 431"), HasSubstr("9\r\ndata: a\n\n\r\n0\r\n\r\nHTTP/1.1 431"));
  EXPECT_TRUE(AwaitEnded().status.ok());
  sender.join();
}

// What it sent waits in the kernel, in front of the end.
TEST_F(StreamTest, AClientThatLeavesBehindItsNextRequestsIsNoticed) {
  for (const bool reset : {false, true}) {
    started_ = {};
    ended_ = {};
    server_.reset();
    Start();
    TestClient client(server_->port());
    client.Send(GetPath("/lines") + std::string(40 << 10, 'x'));
    AwaitStarted();
    if (reset) {
      client.Reset();
    } else {
      client.Close();
    }
    EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kCancelled);
  }
}

TEST_F(StreamTest, AnAbandonedStreamIsCutNotEnded) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  lines->Push("data: a\n\n");
  client.ReadUntil("data: a\n\n");
  lines->Push(kAbandon);
  EXPECT_THAT(client.ReadToEnd(), Not(HasSubstr("0\r\n\r\n")));
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(StreamTest, ADrainLetsStreamsFinishAndClosesTheRest) {
  Start();
  TestClient idle(server_->port()), busy(server_->port());
  idle.Send(GetPath("/whole"));
  idle.ReadUntil("whole");
  busy.Send(GetPath("/lines"));
  const auto lines = AwaitStarted();
  std::thread drain([&] { server_->Drain(std::chrono::minutes(1)); });
  EXPECT_EQ(idle.ReadToEnd(), "");
  EXPECT_TRUE(idle.closed_by_server());
  lines->Push("data: [DONE]\n\n");
  lines->Push(kEnd);
  EXPECT_THAT(busy.ReadToEnd(), EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  drain.join();
  EXPECT_TRUE(AwaitEnded().status.ok());
  EXPECT_FALSE(TestClient(server_->port()).connected());
}

TEST_F(StreamTest, TheEndOfADrainEndsWhatStillRuns) {
  Start();
  TestClient client(server_->port());
  client.Send(GetPath("/lines"));
  AwaitStarted();
  server_->Drain(milliseconds(10));
  EXPECT_EQ(AwaitEnded().status.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace quire::http
