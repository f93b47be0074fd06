// What a request of the API gets, and what the worker and the ledger see of it.
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

// <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n
constexpr int kPromptTokens = 1 + 5 + 2 + 1 + 1 + 1 + 10;

TEST_F(GatewayTest, StreamsAnAnswerAndSettlesWhatItsUsageSays) {
  v1::GenerateRequest seen;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    seen = request;
    out.Accept(3);
    out.Text("Hi \xC3\xA9!");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const Stream stream = ChatStream("\"seed\": 7, \"temperature\": 0.25");
  EXPECT_EQ(stream.text, "Hi \xC3\xA9!");
  EXPECT_EQ(stream.finish_reason, "stop");
  EXPECT_EQ(stream.roles, 1);
  EXPECT_EQ(stream.usage["prompt_tokens"], kPromptTokens);
  EXPECT_EQ(stream.usage["completion_tokens"], 7);
  EXPECT_EQ(stream.usage["prompt_tokens_details"]["cached_tokens"], 3);
  const double nano = 25 * 3 + 75 * (kPromptTokens - 3) + 150 * 7;
  EXPECT_EQ(stream.usage["estimated_cost"].get<double>(), nano / 1e9);
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_COMPLETED);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 7u);
  EXPECT_EQ(settle.cached_tokens(), 3u);
  EXPECT_NE(Metrics().find("quire_gateway_tokens_delivered_total 7"), std::string::npos);
  EXPECT_EQ(seen.prompt_ids_size(), kPromptTokens);
  EXPECT_EQ(seen.seed(), 7u);
  EXPECT_EQ(seen.sampling().temperature(), 0.25f);
  EXPECT_EQ(seen.sampling().top_k(), 9) << "generation_config.json's";
  EXPECT_EQ(seen.sampling().stop_ids(0), kTinyEos);
  EXPECT_EQ(seen.max_tokens(), 40u);
  EXPECT_EQ(seen.cache_salt(), "salt");
}

TEST_F(GatewayTest, AWholeAnswerIsTheSameTextAndBill) {
  AnswerWith("Hello");
  const HttpAnswer answer = Chat("");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 6u);
}

TEST_F(GatewayTest, IncludeUsageComesInAChunkOfItsOwnAndFalseMeansNone) {
  AnswerWith("x");
  EXPECT_EQ(ChatStream("\"stream_options\": {\"include_usage\": true}").usage["completion_tokens"], 2);
  EXPECT_TRUE(ChatStream("\"stream_options\": {\"include_usage\": false}").usage.is_null());
}

TEST_F(GatewayTest, AStopStringOverTokensEndsTheAnswerAndCancelsTheWorker) {
  Notification cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("one STOP two");
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  const Stream stream = ChatStream("\"stop\": [\"STOP\"]");
  EXPECT_EQ(stream.text, "one ");
  EXPECT_EQ(stream.finish_reason, "stop");
  EXPECT_EQ(stream.usage["completion_tokens"], 8);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 8u);
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(GatewayTest, NothingLeavesBeforeTheGrant) {
  Notification sent, go;
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    go.WaitForNotification();
    write(backend_.Grant(256));
    return kOk;
  };
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("early");
    out.Finish(v1::FINISH_LENGTH);
    sent.Notify();
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  sent.WaitForNotification();
  // The worker's last word has been read once another request, which came later, was answered.
  EXPECT_EQ(Call(Request("GET", "/v1/models", "", backend_.key())).status, 200);
  EXPECT_FALSE(client.HasReply());
  go.Notify();
  EXPECT_EQ(ParseStream(Parse(client.ReadToEnd()).body).text, "early");
}

TEST_F(GatewayTest, AGrantIsFinishedAndThenExtended) {
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(4));
    return kOk;
  };
  AnswerWith("a longer answer");
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "a longer answer");
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 16u);
}

TEST_F(GatewayTest, RefusesWhatItMust) {
  const std::string path = "/v1/openai/chat/completions";
  const std::string& key = backend_.key();
  std::string wrong_key = key;
  wrong_key[30] = wrong_key[30] == 'a' ? 'b' : 'a';
  const std::string unknown_key = GenerateApiKey(KeyKind::kApi).text;
  const std::string admin_key = GenerateApiKey(KeyKind::kAdmin).text;
  for (const std::string& bad : {std::string(), wrong_key, unknown_key, admin_key, key + "x"}) {
    EXPECT_EQ(Call(Request("POST", path, ChatBody(""), bad)).status, 401) << bad.size();
    EXPECT_EQ(Call(Request("GET", "/v1/models", "", bad)).status, 401);
  }
  EXPECT_EQ(Call(Request("POST", path, "{", key)).status, 400);
  EXPECT_EQ(Call(Request("POST", path, ChatBody("\"n\": 5"), key)).status, 422);
  EXPECT_EQ(Call(Request("POST", path, ChatBody("\"logit_bias\": {\"258\": 1}"), key)).status, 422);
  const std::string unknown = R"({"model": "no", "messages": [{"role": "user", "content": "hi"}]})";
  EXPECT_EQ(Call(Request("POST", path, unknown, key)).status, 404);
  const std::string long_text = absl::StrCat(
      R"({"model": "tiny", "messages": [{"role": "user", "content": ")", std::string(2000, 'x'), "\"}]}");
  const HttpAnswer too_long = Call(Request("POST", path, long_text, key));
  EXPECT_EQ(too_long.status, 400);
  EXPECT_EQ(json::parse(too_long.body)["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(Call(Request("POST", "/v1/nothing", "", key)).status, 404);
  EXPECT_EQ(backend_.settled(), 0u) << "none of them got as far as Admit";
}

TEST_F(GatewayTest, TheLastAssistantMessageIsContinued) {
  std::string prompt;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    for (const TokenId id : request.prompt_ids()) prompt += id < 256 ? static_cast<char>(id) : '#';
    out.Accept();
    out.Text("two");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const std::string body = R"({"model": "tiny", "messages": [{"role": "user", "content": "q"},
                              {"role": "assistant", "content": "<|im_end|>one"}]})";
  const HttpAnswer answer = Call(Request("POST", "/v1/chat/completions", body, backend_.key()));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(prompt, "#user\nq#\n#assistant\n<|im_end|>one") << "user text makes no control token";
}

TEST_F(GatewayTest, ListsTheModelsOfTheKey) {
  const HttpAnswer answer = Call(Request("GET", "/v1/openai/models", "", backend_.key()));
  ASSERT_EQ(answer.status, 200);
  const json list = json::parse(answer.body);
  ASSERT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["data"][0]["id"], "tiny");
  EXPECT_EQ(list["data"][0]["metadata"]["context_length"], 2000);
  EXPECT_EQ(list["data"][0]["metadata"]["pricing"]["input_tokens"], 0.075);
}

TEST_F(GatewayTest, ScaledRopeOnlyWherePromptAndAnswerNeedIt) {
  std::vector<v1::RopeVariant> variants;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    variants.push_back(request.rope_variant());
    out.Accept();
    out.Text("x");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  for (const int max_tokens : {1000 - kPromptTokens, 1001 - kPromptTokens}) {
    const std::string body =
        absl::StrCat(R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": )",
                     max_tokens, "}");
    EXPECT_EQ(Call(Request("POST", "/v1/chat/completions", body, backend_.key())).status, 200);
  }
  EXPECT_EQ(variants, (std::vector<v1::RopeVariant>{v1::ROPE_PLAIN, v1::ROPE_SCALED}));
}

}  // namespace
}  // namespace quire::gateway
