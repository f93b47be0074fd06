// What HTTP itself asks of the gateway: a model by its name, keys in any spelling of Bearer, when a stream's
// head leaves, browsers of other origins, probes, and leaving behind a load balancer.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "base/http/test_replies.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class GatewayHttpTest : public GatewayTest {
 protected:
  HttpAnswer GetWith(const std::string& path, const std::string& headers) const {
    return Call(absl::StrCat("GET ", path, " HTTP/1.0\r\nhost: x\r\n", headers, "\r\n"));
  }
  HttpAnswer GetModel(const std::string& name) const {
    return Call(Request("GET", "/v1/models/" + name, "", backend_.key()));
  }
};

TEST_F(GatewayHttpTest, AModelIsRetrievedByItsName) {
  const json list = json::parse(Call(Request("GET", "/v1/models", "", backend_.key())).body);
  const HttpAnswer one = GetModel("tiny");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(json::parse(one.body), list["data"][0]);
  EXPECT_EQ(Call(Request("GET", "/v1/openai/models/tin%79", "", backend_.key())).body, one.body);
  EXPECT_EQ(Call(Request("GET", "/v1/models/tiny", "", "")).status, 401);
}

// What agents look up before they send anything.
TEST_F(GatewayHttpTest, AModelSaysWhatItTakesCostsAndCan) {
  const json model = json::parse(GetModel("tiny").body);
  EXPECT_EQ(model["object"], "model");
  EXPECT_EQ(model["context_length"], 2000);
  EXPECT_EQ(model["max_model_len"], 2000);
  EXPECT_EQ(model["max_output_length"], 1500);
  EXPECT_EQ(model["dtype"], "bfloat16");
  EXPECT_EQ(model["pricing"], json::parse(R"({"prompt": "0.000000075", "input_cache_read": "0.000000025",
                                              "completion": "0.000000150"})"));
  EXPECT_EQ(model["capabilities"], json::parse(R"({"chat": true, "completions": true, "reasoning": false,
                                                   "tools": true, "json": true})"));
  EXPECT_EQ(model["metadata"]["tags"], json::parse(R"(["chat", "completions", "tools", "json"])"));
  EXPECT_EQ(model["metadata"]["context_length"], 2000);
  EXPECT_EQ(model["metadata"]["max_tokens"], 1500);
  EXPECT_EQ(model["metadata"]["pricing"]["output_tokens"], 0.15);
}

TEST_F(GatewayHttpTest, AnotherNameIsNotFoundWhateverItHolds) {
  for (const char* name : {"no-such-model", "Qwen/QwQ-32B", "Qwen%2FQwQ-32B", "tiny/", "tiny%20", "tiny/x"}) {
    const HttpAnswer answer = GetModel(name);
    EXPECT_EQ(answer.status, 404) << name;
    EXPECT_EQ(json::parse(answer.body)["error"]["code"], "model_not_found") << name;
  }
}

class NoModelYetTest : public GatewayHttpTest {
 protected:
  void SetUp() override {
    backend_.models_hidden = true;
    GatewayOptions options;
    options.coordinator = backend_.address();
    options.pepper = backend_.pepper();
    auto started = Gateway::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    gateway_ = *std::move(started);
  }
};

// Who is told "ready" may ask: a gateway that has heard of no model refuses it as unknown.
TEST_F(NoModelYetTest, IsNotReady) {
  std::atomic<bool> ready = false;
  Notification told;
  gateway_->WhenReady([&] {
    ready = true;
    told.Notify();
  });
  // Known keys: the state has come.
  while (Call(Request("GET", "/v1/models", "", backend_.key())).status != 200) std::this_thread::yield();
  EXPECT_EQ(Ready(), 503);
  EXPECT_FALSE(ready);
  backend_.models_hidden = false;
  told.WaitForNotification();
  EXPECT_EQ(Ready(), 200);
  AnswerWith("Hello");
  EXPECT_EQ(Chat("").status, 200);
}

class LostBundlesTest : public NoModelYetTest {
 protected:
  void SetUp() override {
    backend_.bundles_lost = true;
    NoModelYetTest::SetUp();
  }
};

// A restart after bundles.db was lost: the models are known, and nobody can speak for them before a group has
// registered.
TEST_F(LostBundlesTest, IsNotReadyBeforeItCanLoadOne) {
  std::atomic<bool> ready = false;
  Notification told;
  gateway_->WhenReady([&] {
    ready = true;
    told.Notify();
  });
  backend_.models_hidden = false;
  AwaitTrue("loads that failed",
            [this] { return Metrics().find("\nquire_gateway_models_unavailable 2\n") != std::string::npos; });
  EXPECT_EQ(Ready(), 503);
  EXPECT_EQ(json::parse(Chat("").body)["error"]["code"], "model_unavailable");
  EXPECT_FALSE(ready);
  backend_.bundles_lost = false;
  ASSERT_TRUE(told.WaitForNotificationWithTimeout(absl::Seconds(60)));
  EXPECT_EQ(Ready(), 200);
  AnswerWith("Hello");
  EXPECT_EQ(Chat("").status, 200);
}

class JustStartedTest : public NoModelYetTest {
 protected:
  void SetUp() override {
    backend_.silent = true;
    NoModelYetTest::SetUp();
  }
};

// It can't tell a key that is none from one that it hasn't heard of, and says when to come again.
TEST_F(JustStartedTest, IsNotReadyAndRefusesNoKeyForGood) {
  const auto ask = [&] { return Call(Request("GET", "/v1/models", "", backend_.key())); };
  for (const HttpAnswer& answer : {ask(), Chat("")}) {
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.head, HasSubstr("\r\nretry-after: 1"));
    EXPECT_THAT(answer.body, HasSubstr("does not know the keys yet"));
  }
  EXPECT_EQ(Ready(), 503);
  Notification told;
  gateway_->WhenReady([&] { told.Notify(); });
  backend_.models_hidden = false;
  backend_.silent = false;
  told.WaitForNotification();
  EXPECT_EQ(Ready(), 200);
  EXPECT_EQ(ask().status, 200);
}

// "other" is there, and another key's.
TEST_F(GatewayHttpTest, AnotherTenantsModelIsAsUnknownAsOneThatIsNot) {
  const HttpAnswer unknown = GetModel("no/such-model"), others = GetModel("other");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(json::parse(unknown.body)["error"]["code"], "model_not_found");
  EXPECT_EQ(others.status, 404);
  EXPECT_EQ(others.body, unknown.body);
}

TEST_F(GatewayHttpTest, BearerIsSpeltAsOneLikes) {
  const std::string& key = backend_.key();
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER  ", "bEaReR \t"}) {
    EXPECT_EQ(GetWith("/v1/models", absl::StrCat("authorization: ", scheme, key, " \r\n")).status, 200)
        << scheme;
  }
  for (const std::string& value :
       {"Bearer" + key, key, "Basic " + key, "Bearer " + key + " x", std::string("Bearer")}) {
    const HttpAnswer answer = GetWith("/v1/models", absl::StrCat("authorization: ", value, "\r\n"));
    EXPECT_EQ(answer.status, 401);
    EXPECT_THAT(answer.head, HasSubstr("www-authenticate: Bearer"));
  }
}

TEST_F(GatewayHttpTest, AStreamsHeadLeavesWithTheGrant) {
  Notification go;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    go.WaitForNotification();
    out.Text("late");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  const std::string head = client.ReadUntil("\r\n\r\n");  // comes though there is no token yet
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(client.ReadUntil(": keep-alive\n"), Not(HasSubstr("data:")));  // and so does a first comment
  go.Notify();
  EXPECT_EQ(ParseStream(client.ReadToEnd()).text, "late");
}

TEST_F(GatewayHttpTest, PagesOfAnyOriginMayCallUnlessToldOtherwise) {
  const std::string preflight =
      "OPTIONS /v1/chat/completions HTTP/1.0\r\nhost: x\r\norigin: https://a.example\r\n"
      "access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n\r\n";
  EXPECT_EQ(Call(preflight).status, 204);
  EXPECT_THAT(Call(preflight).head, HasSubstr("access-control-allow-headers: authorization"));
  EXPECT_THAT(GetWith("/v1/models", "origin: https://a.example\r\n").head,
              HasSubstr("access-control-allow-origin: *"));
  EXPECT_THAT(Metrics(), Not(HasSubstr("access-control")));
  GatewayOptions options;
  options.cors_origin = "https://b.example";
  StartGateway(options);
  EXPECT_THAT(Call(preflight).head, Not(HasSubstr("access-control-allow-origin")));
  options.cors_origin = "b.example";
  options.coordinator = backend_.address();
  EXPECT_TRUE(absl::IsInvalidArgument(Gateway::Start(options).status()));
}

TEST_F(GatewayHttpTest, IsNotReadyWhileTheCoordinatorIsSilent) {
  EXPECT_EQ(Ready(), 200);
  backend_.silent = true;
  while (Ready() == 200) continue;
  EXPECT_EQ(Ready(), 503);
  backend_.silent = false;
  while (Ready() == 503) continue;
  EXPECT_EQ(Ready(), 200);
}

TEST_F(GatewayHttpTest, WhoLeavesIsNotReadyFirstAndStopsAcceptingLater) {
  GatewayOptions options;
  options.drain_delay = std::chrono::hours(1);
  StartGateway(options);
  EXPECT_EQ(Ready(), 200);
  std::thread drain([&] { EXPECT_TRUE(gateway_->Drain(absl::Seconds(30), absl::Seconds(30))); });
  while (Ready() == 200) continue;
  EXPECT_EQ(Ready(), 503);
  http::TestClient client(gateway_->api_port());
  client.Send(absl::StrCat("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ", backend_.key(),
                           "\r\n\r\n"));
  const http::TestReply reply = http::TestReplies(client).Next();
  EXPECT_EQ(reply.status, 200) << "a load balancer has not seen it yet";
  EXPECT_EQ(reply.Header("connection"), "close");
  gateway_->CutShort();
  drain.join();
  EXPECT_FALSE(http::TestClient(gateway_->api_port()).connected());
  EXPECT_EQ(Ready(), 503) << "probes are answered to the end";
}

}  // namespace
}  // namespace quire::gateway
