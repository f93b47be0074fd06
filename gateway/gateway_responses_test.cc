// POST /v1/responses through the whole gateway: streamed and whole, over a group that dies too.
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayResponsesTest : public GatewayTest {
 protected:
  explicit GatewayResponsesTest(const v1::TextBundle& bundle = testing::TinyBundle()) : GatewayTest(bundle) {}

  HttpAnswer Ask(const std::string& fields, const std::string& path = "/v1/responses") const {
    const std::string body = absl::StrCat(R"({"model": "tiny", "max_output_tokens": 40, "input": "hi")",
                                          fields.empty() ? "" : ", ", fields, "}");
    return Call(Request("POST", path, body, backend_.key()));
  }
  // The same response whole and streamed, but for what is another in each.
  json Said(const std::string& fields = "") const {
    json whole = json::parse(Ask(fields).body);
    const std::string stream = Ask(absl::StrCat("\"stream\": true", fields.empty() ? "" : ", ", fields)).body;
    const size_t last = stream.rfind("data: ");
    json streamed = json::parse(stream.substr(last + 6))["response"];
    for (json* response : {&whole, &streamed}) {
      for (const char* name : {"id", "created_at"}) response->erase(name);
      for (json& item : (*response)["output"]) item.erase("id");
    }
    EXPECT_EQ(streamed, whole);
    return whole;
  }
};

TEST_F(GatewayResponsesTest, AnAnswerIsAResponse) {
  AnswerWith("na\xC3\xAFve");
  const json response = Said(R"("metadata": {"a": "b"})");
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "na\xC3\xAFve");
  EXPECT_EQ(response["usage"]["output_tokens"], 7);
  EXPECT_EQ(response["usage"]["input_tokens_details"]["cached_tokens"], 3);
  EXPECT_EQ(response["metadata"]["a"], "b");
  EXPECT_EQ(Ask("", "/v1/openai/responses").status, 200);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), 7u);
}

TEST_F(GatewayResponsesTest, RefusalsAreOpenAis) {
  const HttpAnswer refused = Ask("\"previous_response_id\": \"resp_1\"");
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(json::parse(refused.body)["error"]["param"], "previous_response_id");
}

TEST_F(GatewayResponsesTest, AGroupThatDiesChangesNoByte) {
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC.";
  std::vector<TokenId> ids = testing::TinyIds(text);
  ids.push_back(kTinyEos);
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  for (size_t cut = 0; cut < ids.size(); ++cut) {
    backend_.generate = [ids, cut](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept(request.attempt() == 1 ? 3 : 0);
      const bool dies = request.attempt() == 1;
      for (size_t i = request.choices(0).resumed_ids_size(); i < (dies ? cut : ids.size()); ++i)
        out.Token(ids[i]);
      if (dies) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
    const json response = Said();
    EXPECT_EQ(response["output"][0]["content"][0]["text"], text) << cut;
    EXPECT_EQ(response["usage"]["output_tokens"], ids.size()) << cut;
  }
}

class GatewayResponsesReasoningTest : public GatewayResponsesTest {
 protected:
  GatewayResponsesReasoningTest() : GatewayResponsesTest(testing::TinyReasoningBundle()) {}
};

TEST_F(GatewayResponsesReasoningTest, ReasoningIsAnItemOfItsOwn) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("hm");
    out.Token(259);  // </think>
    out.Text("yes");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const json response = Said();
  ASSERT_EQ(response["output"].size(), 2u);
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "hm");
  EXPECT_EQ(response["output"][1]["content"][0]["text"], "yes");
  EXPECT_EQ(response["usage"]["output_tokens_details"]["reasoning_tokens"], 3);
}

}  // namespace
}  // namespace quire::gateway
