// What is thrown inside a connection ends that connection alone: its slot is given back, and the server goes
// on.
#include <gmock/gmock.h>

#include <stdexcept>

#include "base/async/mailbox.h"
#include "base/http/test_server.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;

asio::awaitable<void> ThrowAtOnce(Exchange&) {
  throw std::runtime_error("private");
  co_return;
}

asio::awaitable<void> ThrowSomethingElse(Exchange& exchange) {
  co_await exchange.ReadBody();
  throw 7;
}

asio::awaitable<void> ThrowInAStream(Exchange& exchange) {
  exchange.StartStream();
  exchange.Append("data: a\n\n", 1);
  (co_await exchange.SendFrames()).IgnoreError();
  throw std::runtime_error("private");
}

asio::awaitable<void> ThrowAfterTheAnswer(Exchange& exchange) {
  Reply reply{.body = "whole"};
  co_await exchange.Send(std::move(reply));
  throw std::runtime_error("private");
}

class FailureTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    options_.limits.connections = 1;  // so that a slot that isn't given back shows
    routes_.Add("GET", "/whole", [](Exchange& e) { return e.Send({.body = "whole"}); });
  }
};

TEST_F(FailureTest, AHandlerThatThrowsIsAnswered500) {
  routes_.Add("GET", "/throw", ThrowAtOnce);
  routes_.Add("GET", "/throw7", ThrowSomethingElse);
  routes_.Add("GET", "/plain",
              [](Exchange&) -> asio::awaitable<void> { throw std::runtime_error("private"); });
  Start();
  for (const char* path : {"/throw", "/throw7", "/plain"}) {
    int status = 503;
    TestReply reply;
    while (status == 503) status = (reply = Call(Request("GET", path))).status;
    EXPECT_EQ(status, 500) << path;
    EXPECT_EQ(reply.Header("connection"), "close");
    EXPECT_EQ(reply.body.find("private"), std::string::npos);
    const RequestRecord record = NextRecord();
    EXPECT_EQ(record.status, 500);
    EXPECT_EQ(record.error, "no_reply");
    ExpectServedAgain("/whole");
    NextRecord();
  }
}

TEST_F(FailureTest, AStreamThatThrowsIsCutAndAnAnswerStays) {
  routes_.Add("GET", "/stream", ThrowInAStream);
  routes_.Add("GET", "/after", ThrowAfterTheAnswer);
  Start();
  {
    TestClient client(server_->port());
    client.Send(Request("GET", "/stream"));
    const std::string reply = client.ReadToEnd();
    EXPECT_THAT(reply, HasSubstr("data: a"));
    EXPECT_EQ(reply.find("0\r\n\r\n"), std::string::npos) << "cut, not ended";
  }
  ExpectServedAgain("/whole");
  std::string reply;
  while (reply.find("whole") == std::string::npos) {
    TestClient client(server_->port());
    client.Send(Request("GET", "/after"));
    reply = client.ReadToEnd();  // though it was to be kept
  }
  ExpectServedAgain("/whole");
}

TEST_F(FailureTest, WhatIsThrownOutsideTheHandlerEndsTheConnectionToo) {
  options_.on_request = [](const RequestRecord& record) {
    if (record.route == "/throw") throw std::runtime_error("the log is full");
  };
  routes_.Add("GET", "/throw", [](Exchange& e) { return e.Send({.body = "answered"}); });
  Start();
  {
    TestClient client(server_->port());
    client.Send(Request("GET", "/throw"));
    EXPECT_THAT(client.ReadToEnd(), HasSubstr("answered"));
    EXPECT_TRUE(client.closed_by_server());
  }
  ExpectServedAgain("/whole");
}

TEST_F(FailureTest, ACallbackThatThrowsHurtsNobodyElse) {
  Notification waiting;
  auto returned = std::make_shared<Mailbox<bool>>();
  routes_.Add("GET", "/wait", [&, returned](Exchange& exchange) -> asio::awaitable<void> {
    exchange.OnGone([returned] {
      returned->Push(true);
      throw std::runtime_error("private");
    });
    waiting.Notify();
    co_await returned->Wait();
  });
  Start();
  {
    TestClient client(server_->port());
    client.Send(Request("GET", "/wait"));
    waiting.WaitForNotification();
    client.Reset();
  }
  EXPECT_EQ(NextRecord().error, "client_gone");
  ExpectServedAgain("/whole");
}

TEST_F(FailureTest, ADrainAfterAThrowFindsNothingLeft) {
  routes_.Add("GET", "/throw", ThrowAtOnce);
  Start();
  EXPECT_EQ(Call(Request("GET", "/throw")).status, 500);
  server_->Drain(std::chrono::minutes(5));  // returns when the slot is free
  EXPECT_THAT(metrics_.Text(), HasSubstr("quire_http_connections{plane=\"api\"} 0"));
}

TEST_F(FailureTest, NoBoundPerAddressMeansNone) {
  options_.limits.connections = 100;
  options_.limits.connections_per_ip = 0;
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<TestClient>(server_->port()));
    clients.back()->Send(Request("GET", "/whole"));
    EXPECT_EQ(TestReplies(*clients.back()).Next().status, 200);
  }
}

}  // namespace
}  // namespace quire::http
