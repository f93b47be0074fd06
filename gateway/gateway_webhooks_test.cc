// Jobs whose answers go to webhooks: what the ledger gets of them, their bounds, and their end with the
// gateway's. The receiver is real TLS on loopback.
#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "base/http/test_tls_receiver.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;

const char kTaken[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

class GatewayWebhooksTest : public GatewayTest {
 protected:
  void SetUp() override {
    receiver_.emplace(certificate_, [this](const std::string&) { return reply_; });
    Start({});
  }

  void Start(WebhookOptions webhooks, std::chrono::milliseconds drain_delay = {}) {
    GatewayOptions options;
    options.drain_delay = drain_delay;
    webhooks.allow = absl::StrCat("localhost:", receiver_->port());
    webhooks.ca_file = certificate_.cert();
    webhooks.retry_ms = 1;
    options.webhooks = std::move(webhooks);
    StartGateway(std::move(options));
  }

  HttpAnswer Infer(const std::string& fields = "") const {
    const std::string body =
        absl::StrCat(R"({"input": "ab", "max_new_tokens": 7, "webhook": "https://localhost:)",
                     receiver_->port(), "/x\"", fields, "}");
    return Call(Request("POST", "/v1/inference/tiny", body, backend_.key()));
  }
  // The body of each webhook so far.
  std::vector<json> Received(size_t count) const {
    std::vector<json> bodies;
    for (const std::string& request : receiver_->AwaitRequests(count)) {
      bodies.push_back(json::parse(request.substr(request.find("\r\n\r\n") + 4)));
    }
    return bodies;
  }
  void RefuseAdmission() {
    backend_.admit = [](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
      write(ScriptedBackend::Refusal(v1::REFUSAL_BUDGET, 0));
      return kOk;
    };
  }

  const http::TestCertificate certificate_;
  std::optional<std::string> reply_ = kTaken;
  std::optional<http::TestTlsReceiver> receiver_;
};

TEST_F(GatewayWebhooksTest, AJobIsSettledAsWhatItSays) {
  AnswerWith("hey");
  const HttpAnswer queued = Infer();
  ASSERT_EQ(queued.status, 200) << queued.body;
  const json said = json::parse(queued.body);
  EXPECT_EQ(said["inference_status"]["status"], "queued");
  EXPECT_EQ(said["results"], json::array());
  const json answer = Received(1)[0];
  EXPECT_EQ(answer["request_id"], said["request_id"]);
  EXPECT_EQ(answer["results"][0]["generated_text"], "hey");
  EXPECT_EQ(answer["inference_status"]["tokens_generated"], 4);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), 4u);
}

TEST_F(GatewayWebhooksTest, OneThatNobodyTakesIsBilledAllTheSame) {
  AnswerWith("hey");
  reply_ = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
  ASSERT_EQ(Infer().status, 200);
  EXPECT_EQ(Received(4).size(), 4u);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), 4u);
  AwaitTrue("its end",
            [&] { return Metrics().find("deliveries_total{outcome=\"given_up\"} 1") != std::string::npos; });
  EXPECT_EQ(receiver_->requests().size(), 4u);
}

TEST_F(GatewayWebhooksTest, ARefusalIsAFailureThatCostsNothing) {
  RefuseAdmission();
  ASSERT_EQ(Infer().status, 200);
  const json answer = Received(1)[0];
  EXPECT_EQ(answer["inference_status"]["status"], "failed");
  EXPECT_EQ(answer["inference_status"]["cost"], 0);
  EXPECT_EQ(answer["error"]["code"], "insufficient_quota");
  EXPECT_EQ(answer["results"], json::array());
}

// Each calls somebody who may not have asked for it.
TEST_F(GatewayWebhooksTest, WhoseJobsComeToNothingHasSoManyOfThem) {
  RefuseAdmission();
  int taken = 0;
  AwaitTrue("a refusal though none is under way", [&] {
    const HttpAnswer answer = Infer();
    if (answer.status == 200) ++taken;
    if (answer.status != 429 || taken < 100) return false;
    EXPECT_THAT(answer.head, HasSubstr("retry-after: "));
    return Metrics().find("quire_gateway_webhook_jobs 0\n") != std::string::npos;
  });
}

TEST_F(GatewayWebhooksTest, WithoutRoomForWhatWaitsItIsSentOnce) {
  WebhookOptions webhooks;
  webhooks.waiting_bytes = 10;
  Start(webhooks);
  AnswerWith("hey");
  reply_ = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
  ASSERT_EQ(Infer().status, 200);
  AwaitTrue("its end",
            [&] { return Metrics().find("deliveries_total{outcome=\"given_up\"} 1") != std::string::npos; });
  EXPECT_EQ(receiver_->requests().size(), 1u);
}

TEST_F(GatewayWebhooksTest, AnAccountHasAQuarterOfTheJobs) {
  WebhookOptions webhooks;
  webhooks.jobs = 8;
  Start(webhooks);
  Notification over;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept(3);
    over.WaitForNotification();
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  EXPECT_EQ(Infer().status, 200);
  EXPECT_EQ(Infer().status, 200);
  const HttpAnswer third = Infer();
  EXPECT_EQ(third.status, 429);
  EXPECT_EQ(json::parse(third.body)["error"]["code"], "rate_limit_exceeded");
  over.Notify();
  EXPECT_EQ(Received(2).size(), 2u);
}

// A drain's end ends the job, and says so; a gateway that is destroyed waits for nothing.
TEST_F(GatewayWebhooksTest, AJobEndsWithItsGateway) {
  Notification runs;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept(3);
    out.Text("he");
    if (!runs.HasBeenNotified()) runs.Notify();
    out.AwaitCancel();
    return kOk;
  };
  ASSERT_EQ(Infer().status, 200);
  ASSERT_TRUE(runs.WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_TRUE(gateway_->Drain(absl::ZeroDuration(), absl::Seconds(30)));
  const json answer = Received(1)[0];
  EXPECT_EQ(answer["inference_status"]["status"], "failed");
  EXPECT_THAT(answer["error"]["message"].get<std::string>(), HasSubstr("shutting down"));
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), 0u);
  Start({});
  ASSERT_EQ(Infer().status, 200);
  gateway_.reset();
}

TEST_F(GatewayWebhooksTest, JobsAreTakenForAsLongAsConnectionsAre) {
  AnswerWith("hey");
  Start({}, std::chrono::hours(1));
  std::thread drain([&] { EXPECT_TRUE(gateway_->Drain(absl::Seconds(30), absl::Seconds(30))); });
  while (Ready() == 200) continue;
  EXPECT_EQ(Infer().status, 200) << "a load balancer has not seen it yet";
  EXPECT_EQ(Received(1)[0]["results"][0]["generated_text"], "hey");
  gateway_->CutShort();
  drain.join();
}

// Its time would be more than a drain has.
TEST_F(GatewayWebhooksTest, AReceiverThatIsSilentDoesNotHoldTheEnd) {
  AnswerWith("hey");
  reply_ = std::nullopt;
  ASSERT_EQ(Infer().status, 200);
  EXPECT_EQ(Received(1).size(), 1u);
  EXPECT_TRUE(gateway_->Drain(absl::ZeroDuration(), absl::Seconds(30)));
  EXPECT_THAT(Metrics(), HasSubstr("quire_gateway_webhook_jobs 0\n"));
  EXPECT_THAT(Metrics(), HasSubstr("deliveries_total{outcome=\"given_up\"} 1"));
  EXPECT_EQ(receiver_->requests().size(), 1u);
}

TEST_F(GatewayWebhooksTest, ANameServerThatIsSilentDoesNotHoldTheEnd) {
  struct NameServer {
    Notification asked, over, left;
  };
  const auto server = std::make_shared<NameServer>();
  WebhookOptions webhooks;
  webhooks.look_up = [server](const std::string&) -> absl::StatusOr<http::HttpsClient::Addresses> {
    server->asked.Notify();
    server->over.WaitForNotification();
    server->left.Notify();
    return absl::UnavailableError("the name is not known");
  };
  Start(webhooks);
  AnswerWith("hey");
  ASSERT_EQ(Infer().status, 200);
  ASSERT_TRUE(server->asked.WaitForNotificationWithTimeout(absl::Seconds(30)));
  gateway_.reset();
  EXPECT_FALSE(server->left.HasBeenNotified());
  server->over.Notify();
  EXPECT_TRUE(server->left.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(GatewayWebhooksTest, ASecretIsToldToItsKeyAlone) {
  const HttpAnswer told = Call(Request("GET", "/v1/webhook-secret", "", backend_.key()));
  EXPECT_EQ(told.status, 200);
  EXPECT_THAT(told.head, HasSubstr("cache-control: no-store"));
  EXPECT_EQ(json::parse(told.body)["secret"].get<std::string>().rfind("whsec_", 0), 0u);
  EXPECT_EQ(Call(Request("GET", "/v1/openai/webhook-secret", "", backend_.key())).body, told.body);
  EXPECT_EQ(Call(Request("GET", "/v1/webhook-secret", "", "sk-quire-none")).status, 401);
}

TEST_F(GatewayWebhooksTest, WrongRulesAreSaidAtTheStart) {
  GatewayOptions options;
  options.coordinator = backend_.address();
  options.pepper = backend_.pepper();
  options.webhooks.allow = "127.0.0.1";
  EXPECT_EQ(Gateway::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.webhooks = {.allow = "", .ca_file = "/nonexistent"};
  EXPECT_EQ(Gateway::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quire::gateway
