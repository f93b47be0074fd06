// A coordinator that is away: who is not admitted yet waits for it a little, and who is admitted goes on.
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayOutageTest : public GatewayTest {
 protected:
  void SetUp() override {}
  void StartWithPatience(std::chrono::milliseconds patience) {
    GatewayOptions options;
    options.coordinator_patience = patience;
    StartGateway(options);
  }
  void BeginOutage() {
    backend_.silent = true;
    AwaitTrue("not ready", [this] { return !Ready(); });
  }
  bool Ready() const {
    http::TestClient client(gateway_->metrics_port());
    client.Send("GET /readyz HTTP/1.0\r\n\r\n");
    return Parse(client.ReadToEnd()).status == 200;
  }
};

TEST_F(GatewayOutageTest, NobodyIsAdmittedAnyMoreAndWhoIsGoesOn) {
  StartWithPatience(std::chrono::milliseconds(1));
  Notification go;
  const auto over = std::make_shared<Notification>();
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    go.WaitForNotification();
    out.Text("b");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  const std::string beginning = client.ReadUntil("\"content\":\"a\"");
  backend_.admit = [over](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    over->WaitForNotificationWithTimeout(absl::Seconds(30));
    write(ScriptedBackend::Refusal(v1::REFUSAL_BUDGET));  // who waited so long sees another error
    return kOk;
  };
  BeginOutage();
  for (const char* fields : {"", "\"stream\": true"}) {
    const HttpAnswer refused = Chat(fields);
    EXPECT_EQ(refused.status, 503) << refused.body;
    EXPECT_NE(refused.head.find("retry-after: "), std::string::npos) << refused.head;
    EXPECT_EQ(json::parse(refused.body)["error"]["code"], "service_unavailable");
  }
  over->Notify();
  go.Notify();
  const Stream stream = ParseStream(Parse(beginning + client.ReadToEnd()).body);
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.finish_reason, "length");
}

TEST_F(GatewayOutageTest, ARestartTurnsNobodyAway) {
  StartWithPatience(std::chrono::hours(1));
  AnswerWith("ok");
  BeginOutage();
  EXPECT_EQ(ChatStream().text, "ok") << "the coordinator is asked all the same";
  backend_.silent = false;
  AwaitTrue("ready", [this] { return Ready(); });
  EXPECT_EQ(ChatStream().text, "ok");
}

}  // namespace
}  // namespace quire::gateway
