// What happens before a request is admitted, and what a client may learn from a refusal.
#include "base/http/test_gzip.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayDoorsTest : public GatewayTest {
 protected:
  HttpAnswer ChatWithModel(const std::string& model) const {
    const std::string body =
        absl::StrCat(R"({"model": ")", model, R"(", "messages": [{"role": "user", "content": "hi"}]})");
    return Call(Request("POST", "/v1/chat/completions", body, backend_.key()));
  }
  // A client whose request has been let in and whose body is being waited for.
  void EnterWithoutBody(http::TestClient& client, size_t content_length) const {
    client.Send(absl::StrCat("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ",
                             backend_.key(), "\r\nexpect: 100-continue\r\nconnection: close\r\n",
                             "content-length: ", content_length, "\r\n\r\n"));
    EXPECT_NE(client.ReadUntil("100 Continue").find("100 Continue"), std::string::npos);
  }
};

// A reply's head without the lines that are others in each reply.
std::string HeadOf(const HttpAnswer& answer) {
  std::string head = answer.head;
  for (const char* name : {"x-request-id", "date"}) {
    const size_t begin = head.find(name), end = head.find('\n', begin);
    head.erase(begin, end - begin);
  }
  return head;
}

TEST_F(GatewayDoorsTest, AModelOfOthersAnswersAsOneThatIsNot) {
  const HttpAnswer unknown = ChatWithModel("never"), forbidden = ChatWithModel("other");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(HeadOf(forbidden), HeadOf(unknown));
  EXPECT_EQ(forbidden.body, unknown.body);
  // A key whose scope has just changed learns no more from the coordinator.
  for (const v1::RefusalReason reason : {v1::REFUSAL_SCOPE, v1::REFUSAL_MODEL}) {
    backend_.admit = [reason](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
      v1::AdmitReply reply = ScriptedBackend::Refusal(reason, 9);
      reply.mutable_refusal()->set_message("the key may not use this model");
      write(reply);
      return kOk;
    };
    const HttpAnswer refused = ChatWithModel("tiny");
    EXPECT_EQ(HeadOf(refused), HeadOf(unknown));
    EXPECT_EQ(refused.body, unknown.body);
  }
}

TEST_F(GatewayDoorsTest, AModelsStatusIsForThoseWhoMayUseIt) {
  const auto ask = [this](const std::string& model, const std::string& key) {
    return Call(Request("GET", absl::StrCat("/v1/status/", model), "", key));
  };
  EXPECT_EQ(ask("tiny", "sk-quire-nobody").status, 401);
  EXPECT_EQ(ask("never", backend_.key()).status, 404);
  EXPECT_EQ(ask("other", backend_.key()).body, ask("never", backend_.key()).body);
  EXPECT_EQ(ask("tiny", backend_.key()).body,
            R"({"model":"tiny","groups_ready":2,"uptime":1.0,"numerics_id":null,)"
            R"("requests":{"waiting":0,"running":0},"answers":0,)"
            R"("first_token_seconds":null,"tokens_per_second":null})");
  AnswerWith("a text of many tokens");
  EXPECT_EQ(Chat("").status, 200);
  AwaitTrue("the end of the request", [&] {
    return json::parse(ask("tiny", backend_.key()).body)["requests"] == json{{"waiting", 0}, {"running", 0}};
  });
  const json status = json::parse(ask("tiny", backend_.key()).body);
  EXPECT_EQ(status["answers"], 1);
  EXPECT_GT(status["first_token_seconds"]["p50"], 0);
  EXPECT_EQ(status["first_token_seconds"]["p50"], status["first_token_seconds"]["p95"]);
}

TEST_F(GatewayDoorsTest, ThePageIsThereUnlessItIsTurnedOff) {
  EXPECT_EQ(Call(Request("GET", "/", "", "")).status, 200);
  EXPECT_EQ(Call(Request("GET", "/page/app.js", "", "")).status, 200);
  GatewayOptions options;
  options.page = false;
  StartGateway(options);
  EXPECT_EQ(Call(Request("GET", "/", "", "")).status, 404);
  EXPECT_EQ(Call(Request("GET", "/page/app.js", "", "")).status, 404);
}

TEST_F(GatewayDoorsTest, AKeyHasSoManyRequestsBeingRead) {
  GatewayOptions options;
  options.intake.requests_per_key = 1;
  StartGateway(options);
  AnswerWith("ok");
  const std::string body = ChatBody("");
  http::TestClient first(gateway_->api_port());
  EnterWithoutBody(first, body.size());
  const HttpAnswer refused = Chat("");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.head.find("retry-after: "), std::string::npos);
  first.Send(body);
  EXPECT_NE(first.ReadToEnd().find("200 OK"), std::string::npos);
  EXPECT_EQ(Chat("").status, 200);
}

TEST_F(GatewayDoorsTest, AKeyIsFreeAgainWhenItsClientLeft) {
  GatewayOptions options;
  options.intake.requests_per_key = 1;
  StartGateway(options);
  AnswerWith("ok");
  {
    http::TestClient first(gateway_->api_port());
    EnterWithoutBody(first, 100);
    first.Reset();
  }
  HttpAnswer answer = Chat("");
  while (answer.status == 429) answer = Chat("");  // until the server has seen it leave
  EXPECT_EQ(answer.status, 200);
}

// The bound is on requests that are being read: an answer that runs doesn't count.
TEST_F(GatewayDoorsTest, WhoIsAdmittedMakesRoom) {
  GatewayOptions options;
  options.intake.requests_per_key = 1;
  StartGateway(options);
  Notification running, go;
  std::atomic<int> calls{0};
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    if (++calls == 1) {
      running.Notify();
      go.WaitForNotification();
    }
    out.Accept();
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  http::TestClient first(gateway_->api_port());
  first.Send(Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key()));
  running.WaitForNotification();
  EXPECT_EQ(Chat("").status, 200);
  go.Notify();
  EXPECT_EQ(Parse(first.ReadToEnd()).status, 200);
}

TEST_F(GatewayDoorsTest, AllBodiesTogetherHoldSoManyBytes) {
  GatewayOptions options;
  options.intake.bytes = 300;
  StartGateway(options);
  AnswerWith("ok");
  http::TestClient first(gateway_->api_port());
  EnterWithoutBody(first, 290);
  EXPECT_EQ(Chat("").status, 200) << "nothing of the first one has come";
  const HttpAnswer refused = Chat(std::string(400, ' '));
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.head.find("retry-after: "), std::string::npos);
  EXPECT_NE(refused.head.find("connection: close"), std::string::npos);
  EXPECT_EQ(Chat("").status, 200) << "what was refused holds nothing";
}

// A chunked body doesn't say how large it will be.
TEST_F(GatewayDoorsTest, AnUploadThatDoesNotComeKeepsNobodyOut) {
  GatewayOptions options;
  options.intake.bytes = 1 << 20;
  StartGateway(options);
  AnswerWith("ok");
  std::vector<std::unique_ptr<http::TestClient>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(std::make_unique<http::TestClient>(gateway_->api_port()));
    idle.back()->Send(absl::StrCat("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ",
                                   backend_.key(), "\r\nexpect: 100-continue\r\n",
                                   i % 2 == 0 ? "transfer-encoding: chunked" : "content-length: 8388608",
                                   "\r\n\r\n"));
    EXPECT_NE(idle.back()->ReadUntil("100 Continue").find("100 Continue"), std::string::npos);
  }
  EXPECT_EQ(Chat("").status, 200);
}

TEST_F(GatewayDoorsTest, GzipBodiesCountByWhatTheyBecome) {
  GatewayOptions options;
  options.intake.bytes = 4000;
  StartGateway(options);
  AnswerWith("ok");
  const auto post = [&](const std::string& body) {
    std::string request = Request("POST", "/v1/chat/completions", body, backend_.key());
    return Call(request.insert(request.find("\r\n") + 2, "content-encoding: gzip\r\n"));
  };
  EXPECT_EQ(post(http::Gzip(ChatBody(""))).status, 200);
  EXPECT_EQ(post(http::Gzip(ChatBody("\"x\": \"" + std::string(5000, 'x') + "\""))).status, 503);
  const HttpAnswer bad = post("no gzip");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(json::parse(bad.body)["error"]["code"], "gzip");
}

// An answer of tokens that are 6 KB of JSON each, so that it doesn't fit into the kernel's buffers.
class LongAnswerTest : public GatewayTest {
 protected:
  static constexpr int kBefore = 100, kAfter = 900;

  LongAnswerTest() : GatewayTest(testing::TinyBundleWith({std::string(1024, '\x01')})) {}

  void SetUp() override {
    GatewayTest::SetUp();
    backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      for (int i = 0; i < kBefore; ++i) out.Token(testing::kTinyVocabulary);
      out.Text("MARK");
      for (int i = 0; i < kAfter; ++i) out.Token(testing::kTinyVocabulary);
      out.Finish(v1::FINISH_LENGTH);
      return kOk;
    };
  }
  std::string LongRequest() const {
    const std::string body =
        R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1400})";
    return Request("POST", "/v1/chat/completions", body, backend_.key());
  }
};

TEST_F(LongAnswerTest, CutInItsLastWriteBillsWhatLeft) {
  http::TestClient client(gateway_->api_port(), 64 << 10);
  client.Send(LongRequest());
  EXPECT_NE(client.ReadUntil("MARK").find("MARK"), std::string::npos);
  client.Reset();
  const uint64_t billed = ScriptedBackend::DeliveredOf(backend_.AwaitSettle());
  EXPECT_GE(billed, kBefore + 4u);
  EXPECT_LT(billed, kBefore + 4u + kAfter);
}

TEST_F(LongAnswerTest, WholeItsUsageIsTheLedgers) {
  const HttpAnswer answer = Call(LongRequest());
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"].get<std::string>().size(), 1000u * 1024 + 4);
  EXPECT_EQ(body["usage"]["completion_tokens"], 1004);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 1004u);
}

}  // namespace
}  // namespace quire::gateway
