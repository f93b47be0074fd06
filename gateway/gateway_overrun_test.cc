// What the gateway refuses before it reads a body: more than it can hold, and what costs its sender nothing.
#include "base/core/bounded_queue.h"
#include "gateway/gateway_test_fixture.h"
#include "gateway/rpc/worker_client.h"

namespace quire::gateway {
namespace {

class GatewayOverrunTest : public GatewayTest {
 protected:
  void SetUp() override {}
  // The answers say when something has changed: asks until it has.
  HttpAnswer ChatUntil(int status) {
    HttpAnswer answer = Chat("");
    for (const absl::Time end = absl::Now() + absl::Seconds(60);
         answer.status != status && absl::Now() < end;) {
      answer = Chat("");
    }
    EXPECT_EQ(answer.status, status) << answer.body;
    return answer;
  }
  std::string ChatRequest() const {
    return Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key());
  }
};

TEST_F(GatewayOverrunTest, ABacklogOfSettlesRefusesNewRequestsUntilItIsGone) {
  GatewayOptions options;
  options.max_pending_settles = 1;
  StartGateway(options);
  AnswerWith("ok");
  backend_.settles_to_refuse = 1'000'000;
  EXPECT_EQ(Chat("").status, 200);
  const HttpAnswer refused = ChatUntil(503);
  EXPECT_EQ(json::parse(refused.body)["error"]["code"], "ledger_unavailable");
  EXPECT_NE(refused.head.find("retry-after"), std::string::npos) << refused.head;
  backend_.settles_to_refuse = 0;
  backend_.AwaitSettle();
  ChatUntil(200);
}

TEST_F(GatewayOverrunTest, AKeyThatKeepsLeavingItsRequestsIsRefusedForAWhile) {
  GatewayOptions options;
  options.abandonments = {.burst = 2, .every_us = int64_t{3600} * 1'000'000};
  StartGateway(options);
  AnswerWith("ok");
  const auto grant = backend_.admit;
  for (size_t i = 0; i < 2; ++i) {
    auto asked = std::make_shared<Notification>(), left = std::make_shared<Notification>();
    backend_.admit = [asked, left](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter&) {
      asked->Notify();
      left->WaitForNotification();
      return kOk;
    };
    {
      http::TestClient client(gateway_->api_port());
      client.Send(ChatRequest());
      asked->WaitForNotification();
    }
    EXPECT_EQ(backend_.AwaitSettle(i).reason(), v1::SETTLE_ABANDONED);
    left->Notify();
  }
  backend_.admit = grant;
  const HttpAnswer refused = Chat("");
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_EQ(json::parse(refused.body)["error"]["code"], "rate_limit_exceeded");
}

TEST_F(GatewayOverrunTest, WhoWaitsForItsAdmissionCountsForItsKey) {
  GatewayOptions options;
  options.intake.requests_per_key = 2;
  StartGateway(options);
  AnswerWith("ok");
  BoundedQueue<bool> asked(8);
  Notification answer;
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    asked.TryPush(true);
    answer.WaitForNotification();
    write(backend_.Placement());
    write(backend_.Grant(256));
    return kOk;
  };
  http::TestClient first(gateway_->api_port()), second(gateway_->api_port());
  first.Send(ChatRequest());
  second.Send(ChatRequest());
  asked.Pop();
  asked.Pop();
  EXPECT_EQ(Chat("").status, 429);
  answer.Notify();
  EXPECT_EQ(Parse(first.ReadToEnd()).status, 200);
  EXPECT_EQ(Parse(second.ReadToEnd()).status, 200);
  EXPECT_EQ(Chat("").status, 200);
}

// A client that can't be written to for want of a grant holds its worker up, not the gateway's memory.
class GatewayHeldTokensTest : public GatewayOverrunTest {
 protected:
  static constexpr int kTokens = 1400, kGranted = 10;
  static constexpr int kMostHeld =
      1024 + WorkerClient::kReadAhead;  // generation_attempts.cc's bound, and a read

  std::string LongRequest() const {
    const std::string body =
        R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1400, "stream": true})";
    return Request("POST", "/v1/chat/completions", body, backend_.key());
  }
  // Tokens that this gateway has taken from workers, but for each stream's first.
  int Taken() const {
    const std::string name = "quire_gateway_inter_token_seconds_count ", metrics = Metrics();
    const size_t at = metrics.find(name);
    return at == std::string::npos ? 0 : std::stoi(metrics.substr(at + name.size()));
  }
  void AwaitTaken(int more) const {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      if (Taken() >= more) return;
    }
    ADD_FAILURE() << "only " << Taken() << " were taken";
  }
};

TEST_F(GatewayHeldTokensTest, WithoutAGrantNoMoreIsReadThanMayBeHeld) {
  StartGateway();
  std::atomic<int> admits{0};
  std::atomic<bool> extended{false};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(++admits == 1 ? kGranted : kTokens));
    return kOk;
  };
  backend_.progress = [&](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(extended ? kTokens : kGranted);
    return result;
  };
  BoundedQueue<bool> sent(8);
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text(std::string(kTokens, 'x'));
    out.Finish(v1::FINISH_LENGTH);
    sent.TryPush(true);
    return kOk;
  };
  http::TestClient held(gateway_->api_port());
  held.Send(LongRequest());
  sent.Pop();  // all of it lies ready
  AwaitTaken(kGranted + 1024);
  // Time enough to read the rest, too: as much of another stream was read meanwhile.
  EXPECT_EQ(ParseStream(Call(LongRequest()).body).text.size(), kTokens);
  EXPECT_LE(Taken() - (kTokens - 1) + 1, kGranted + kMostHeld);
  extended = true;
  EXPECT_EQ(ParseStream(Parse(held.ReadToEnd()).body).text, std::string(kTokens, 'x'));
}

}  // namespace
}  // namespace quire::gateway
