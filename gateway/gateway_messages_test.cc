// POST /v1/messages and count_tokens through the whole gateway: the answers of Anthropic's API, streamed and
// whole, over a group that dies too, and its errors, whoever refuses and when.
#include "base/http/test_gzip.h"
#include "gateway/gateway_test_fixture.h"

namespace quire::gateway {
namespace {

constexpr TokenId kThinkingEnds = 259;

// A stream's events by name and data.
using Events = std::vector<std::pair<std::string, json>>;

Events EventsOf(const std::string& body) {
  Events events;
  for (size_t start = 0, end; (end = body.find("\n\n", start)) != std::string::npos; start = end + 2) {
    const size_t line = body.find('\n', start);
    EXPECT_EQ(body.substr(start, 7), "event: ");
    EXPECT_EQ(body.substr(line + 1, 6), "data: ");
    const json data = json::parse(body.substr(line + 7, end - line - 7));
    events.emplace_back(body.substr(start + 7, line - start - 7), data);
    EXPECT_EQ(events.back().first, data["type"]);
    if (events.back().first == "ping") events.pop_back();
  }
  return events;
}

// What a client puts together of a stream, in the form of a whole answer.
json MessageOf(const Events& events) {
  json message;
  for (const auto& [name, data] : events) {
    json& blocks = message["content"];
    if (name == "message_start") {
      message = data["message"];
    } else if (name == "content_block_start") {
      blocks.push_back(data["content_block"]);
    } else if (name == "content_block_delta") {
      for (const auto& [field, value] : data["delta"].items()) {
        if (field == "type") continue;
        json& so_far = blocks.at(data["index"].get<size_t>())[field];
        so_far = so_far.get<std::string>() + value.get<std::string>();
      }
    } else if (name == "message_delta") {
      message.update(data["delta"]);
      message["usage"] = data["usage"];
    }
  }
  EXPECT_EQ(events.back().first, "message_stop");
  return message;
}

class GatewayMessagesTest : public GatewayTest {
 protected:
  explicit GatewayMessagesTest(const v1::TextBundle& bundle = testing::TinyBundle()) : GatewayTest(bundle) {}

  static std::string Body(const std::string& fields) {
    return absl::StrCat(
        R"({"model": "tiny", "max_tokens": 40, "messages": [{"role": "user", "content": "hi"}])",
        fields.empty() ? "" : ", ", fields, "}");
  }
  static std::string Post(const std::string& path, const std::string& headers, const std::string& body) {
    return absl::StrCat("POST ", path, " HTTP/1.0\r\nhost: x\r\n", headers,
                        "anthropic-version: 2023-06-01\r\ncontent-length: ", body.size(), "\r\n\r\n", body);
  }
  std::string Key() const { return absl::StrCat("x-api-key: ", backend_.key(), "\r\n"); }
  HttpAnswer Ask(const std::string& fields, const std::string& path = "/v1/messages") const {
    return Call(Post(path, Key(), Body(fields)));
  }
  json Whole(const std::string& fields = "") const {
    const HttpAnswer answer = Ask(fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  Events Streamed(const std::string& fields = "") const {
    const HttpAnswer answer = Ask(absl::StrCat("\"stream\": true", fields.empty() ? "" : ", ", fields));
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_NE(answer.head.find("text/event-stream"), std::string::npos);
    EXPECT_NE(answer.head.find("\r\nrequest-id: "), std::string::npos);
    return EventsOf(answer.body);
  }
  // The same answer whole and streamed, but for its id.
  json Said(const std::string& fields = "") const {
    json whole = Whole(fields), streamed = MessageOf(Streamed(fields));
    for (json* message : {&whole, &streamed}) {
      message->erase("id");
      for (json& block : (*message)["content"]) block.erase("signature");
    }
    EXPECT_EQ(streamed, whole);
    return whole;
  }
  static void ExpectError(const HttpAnswer& answer, int status, const std::string& type) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const json body = json::parse(answer.body);
    EXPECT_EQ(body["type"], "error");
    EXPECT_EQ(body["error"]["type"], type) << answer.body;
    EXPECT_NE(body["error"]["message"], "");
    const std::string id = body["request_id"];
    EXPECT_NE(answer.head.find("\r\nrequest-id: " + id), std::string::npos) << answer.head;
    EXPECT_NE(answer.head.find("\r\nx-request-id: " + id), std::string::npos) << answer.head;
  }
};

TEST_F(GatewayMessagesTest, AnAnswerIsAMessage) {
  AnswerWith("na\xC3\xAFve");
  const json message = Said();
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["model"], "tiny");
  EXPECT_EQ(message["content"], json::parse(R"([{"type": "text", "text": "na\u00efve"}])"));
  EXPECT_EQ(message["stop_reason"], "end_turn");
  EXPECT_TRUE(message["stop_sequence"].is_null());
  EXPECT_EQ(message["usage"]["output_tokens"], 7);
  EXPECT_EQ(message["usage"]["cache_read_input_tokens"], 0);
  EXPECT_EQ(message["usage"]["quire"]["cached_tokens"], 3);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), 7u);
}

TEST_F(GatewayMessagesTest, BothPathsAndBothKeys) {
  AnswerWith("ok");
  for (const char* path : {"/v1/messages", "/anthropic/v1/messages", "/v1/messages?beta=true"}) {
    EXPECT_EQ(Ask("", path).status, 200) << path;
    const std::string bearer = absl::StrCat("authorization: Bearer ", backend_.key(), "\r\nx-api-key: \r\n");
    EXPECT_EQ(Call(Post(path, bearer, Body(""))).status, 200) << path;
  }
}

TEST_F(GatewayMessagesTest, InputIsWithoutWhatWasCachedWhereACacheWasAskedFor) {
  AnswerWith("ok");
  const json plain = Said()["usage"], told = Said(R"("cache_control": {"type": "ephemeral"})")["usage"];
  EXPECT_EQ(told["cache_read_input_tokens"], 3);
  EXPECT_EQ(told["input_tokens"].get<int>() + 3, plain["input_tokens"]);
  EXPECT_EQ(
      Streamed(R"("cache_control": {"type": "ephemeral"})")[0].second["message"]["usage"]["input_tokens"],
      told["input_tokens"]);
}

TEST_F(GatewayMessagesTest, TheStopSequenceThatItWas) {
  AnswerWith("one STOP two");
  const json message = Said(R"("stop_sequences": ["two", " STOP"])");
  EXPECT_EQ(message["content"][0]["text"], "one");
  EXPECT_EQ(message["stop_reason"], "stop_sequence");
  EXPECT_EQ(message["stop_sequence"], " STOP");
}

TEST_F(GatewayMessagesTest, ALengthIsMaxTokens) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("cut");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  EXPECT_EQ(Said()["stop_reason"], "max_tokens");
}

TEST_F(GatewayMessagesTest, CountingCostsNothingAndCountsWhatAnAnswerDoes) {
  AnswerWith("ok");
  const int input = Whole()["usage"]["input_tokens"];
  backend_.AwaitSettle(0);
  for (const char* path : {"/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"}) {
    const HttpAnswer counted =
        Call(Post(path, Key(), R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]})"));
    EXPECT_EQ(counted.status, 200);
    EXPECT_EQ(counted.body, absl::StrCat("{\"input_tokens\":", input, "}"));
    EXPECT_EQ(Ask("", path).status, 200) << "max_tokens may be there";
    ExpectError(Ask("\"system\": 5", path), 400, "invalid_request_error");
    ExpectError(Call(Post(path, "", Body(""))), 401, "authentication_error");
  }
  EXPECT_EQ(backend_.settled(), 1u);
}

TEST_F(GatewayMessagesTest, ALastAnswerIsContinued) {
  AnswerWith(" two.");
  const std::string body =
      R"({"model": "tiny", "max_tokens": 40, "messages": [{"role": "user", "content": "1+1?"},
      {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}]})";
  EXPECT_EQ(json::parse(Call(Post("/v1/messages", Key(), body)).body)["content"][0]["text"], " two.");
}

// ---- errors ----

TEST_F(GatewayMessagesTest, WhoeverRefusesSaysItInThisForm) {
  const std::string path = "/v1/messages";
  ExpectError(Call(Post(path, "", Body(""))), 401, "authentication_error");
  ExpectError(Call(Post(path, "x-api-key: sk-quire-x\r\n", Body(""))), 401, "authentication_error");
  ExpectError(Ask("\"temperature\": 3"), 400, "invalid_request_error");
  ExpectError(Call(Post(path, Key(), "{")), 400, "invalid_request_error");
  ExpectError(
      Call(Post(path, Key(),
                R"({"model": "no", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})")),
      404, "not_found_error");
  ExpectError(Ask(absl::StrCat("\"system\": \"", std::string(3000, 'x'), "\"")), 400,
              "invalid_request_error");
  ExpectError(Call(Request("GET", path, "", backend_.key())), 405, "invalid_request_error");
  ExpectError(Call(Request("POST", "/v1/messages/nothing", "", backend_.key())), 404, "not_found_error");
  ExpectError(Call(Request("POST", "/anthropic/v1/nothing", "", backend_.key())), 404, "not_found_error");
  ExpectError(Call(Post(path, Key() + "content-encoding: br\r\n", Body(""))), 415, "invalid_request_error");
  ExpectError(Call(Post(path, Key() + "content-encoding: gzip\r\n", "no gzip")), 400,
              "invalid_request_error");
  ExpectError(
      Call(absl::StrCat("POST ", path, " HTTP/1.0\r\nhost: x\r\n", Key(), "content-length: 9000000\r\n\r\n")),
      413, "request_too_large");
  const json elsewhere = json::parse(Call(Request("POST", "/v1/nothing", "", backend_.key())).body);
  EXPECT_FALSE(elsewhere.contains("type")) << "other paths speak as they did";
}

TEST_F(GatewayMessagesTest, TheCoordinatorsRefusals) {
  const std::vector<std::tuple<v1::RefusalReason, int, std::string>> cases = {
      {v1::REFUSAL_BUDGET, 402, "billing_error"},
      {v1::REFUSAL_RATE, 429, "rate_limit_error"},
      {v1::REFUSAL_NO_CAPACITY, 503, "overloaded_error"},
      {v1::REFUSAL_MODEL, 404, "not_found_error"}};
  for (const auto& [reason, status, type] : cases) {
    backend_.admit = [reason = reason](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
      write(ScriptedBackend::Refusal(reason, 9));
      return kOk;
    };
    for (const char* fields : {"", "\"stream\": true"}) {
      const HttpAnswer answer = Ask(fields);
      ExpectError(answer, status, type);
      EXPECT_EQ(answer.head.find("\r\nretry-after: 9") != std::string::npos, status == 429 || status == 503);
    }
  }
}

TEST_F(GatewayMessagesTest, AStreamThatBreaksOffEndsWithAnErrorEvent) {
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    if (request.attempt() == 1) out.Text("abc");
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no");
  };
  const Events events = Streamed();
  EXPECT_EQ(events.front().first, "message_start");
  EXPECT_EQ(events.back().first, "error");
  EXPECT_NE(events.back().second["error"]["type"], "");
  for (size_t i = 0; i + 1 < events.size(); ++i) EXPECT_NE(events[i].first, "message_delta");
}

// ---- what doors share holds for this one ----

TEST_F(GatewayMessagesTest, AGroupThatDiesChangesNoByte) {
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC.";
  std::vector<TokenId> ids = testing::TinyIds(text);
  ids.push_back(kTinyEos);
  backend_.admit = [this](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Grant(request.max_tokens()));
    write(backend_.Placement());
    return kOk;
  };
  backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(2); };
  std::string calm;
  for (size_t cut = 0; cut <= ids.size(); ++cut) {
    backend_.generate = [ids, cut](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept(request.attempt() == 1 ? 3 : 0);
      const bool dies = request.attempt() == 1 && cut < ids.size();
      for (size_t i = request.choices(0).resumed_ids_size(); i < (dies ? cut : ids.size()); ++i)
        out.Token(ids[i]);
      if (dies) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
    const json message = Said(R"("cache_control": {}, "stop_sequences": ["\u20ac."])");
    EXPECT_EQ(message["content"][0]["text"], "na\xC3\xAFve ");
    EXPECT_EQ(message["stop_sequence"], "\xE2\x82\xAC.");
    if (calm.empty()) calm = message.dump();
    EXPECT_EQ(message.dump(), calm) << cut;
  }
}

TEST_F(GatewayMessagesTest, WhoLeavesStopsCostingAndPaysWhatHeGot) {
  Notification cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("MARK");
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  {
    http::TestClient client(gateway_->api_port());
    client.Send(Post("/v1/messages", Key(), Body("\"stream\": true")));
    EXPECT_NE(client.ReadUntil("K\"}}\n\n").find("message_start"), std::string::npos);
    client.Reset();
  }
  cancelled.WaitForNotification();
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 4u);
}

TEST_F(GatewayMessagesTest, GzipBodies) {
  AnswerWith("ok");
  EXPECT_EQ(Call(Post("/v1/messages", Key() + "content-encoding: gzip\r\n", http::Gzip(Body("")))).status,
            200);
}

class GatewayMessagesPingTest : public GatewayMessagesTest {
 protected:
  void SetUp() override {
    GatewayOptions options;
    options.limits.first_keep_alive = options.limits.keep_alive_interval = std::chrono::milliseconds(20);
    StartGateway(options);
  }
};

TEST_F(GatewayMessagesPingTest, SilenceIsFilledWithPings) {
  Notification go;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    go.WaitForNotification();
    out.Text("b");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  http::TestClient client(gateway_->api_port());
  client.Send(Post("/v1/messages", Key(), Body("\"stream\": true")));
  std::string bytes = client.ReadUntil("\"a\"}}\n\n");
  bytes += client.ReadUntil("event: ping\ndata: {\"type\":\"ping\"}\n\n");
  go.Notify();
  bytes += client.ReadToEnd();
  EXPECT_EQ(MessageOf(EventsOf(Parse(bytes).body))["content"][0]["text"], "ab");
}

class GatewayMessagesThinkingTest : public GatewayMessagesTest {
 protected:
  GatewayMessagesThinkingTest() : GatewayMessagesTest(testing::TinyReasoningBundle()) {}

  void Think(const std::string& thought, const std::string& text) {
    std::vector<TokenId> ids = testing::TinyIds(thought);
    ids.push_back(kThinkingEnds);
    for (const TokenId id : testing::TinyIds(text)) ids.push_back(id);
    ids.push_back(kTinyEos);
    backend_.generate = [ids](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      for (const TokenId id : ids) out.Token(id);
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }
};

TEST_F(GatewayMessagesThinkingTest, ThinkingIsABlockOfItsOwn) {
  Think("hm", "yes");
  const json message = Said();
  EXPECT_EQ(message["content"],
            json::parse(R"([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}])"));
  EXPECT_EQ(message["usage"]["output_tokens"], 7);
  EXPECT_EQ(message["usage"]["output_tokens_details"]["thinking_tokens"], 3);
  EXPECT_EQ(Whole()["content"][0]["signature"].get<std::string>().size(), 32u);
}

TEST_F(GatewayMessagesThinkingTest, OmittedItIsPaidAllTheSame) {
  Think("hm", "yes");
  const json message = Said(R"("thinking": {"type": "adaptive", "display": "omitted"})");
  EXPECT_EQ(message["content"],
            json::parse(R"([{"type": "thinking", "thinking": ""}, {"type": "text", "text": "yes"}])"));
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), 7u);
}

TEST_F(GatewayMessagesThinkingTest, DisabledThereIsNone) {
  AnswerWith("yes");
  EXPECT_EQ(Said(R"("thinking": {"type": "disabled"})")["content"],
            json::parse(R"([{"type": "text", "text": "yes"}])"));
}

}  // namespace
}  // namespace quire::gateway
