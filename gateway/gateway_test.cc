// The whole gateway over real sockets, against a scripted coordinator and worker on real gRPC.
#include "gateway/gateway.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "gateway/generation/testing/scripted_backend.h"
#include "gateway/generation/testing/tiny_text.h"
#include "gateway/http/test_client.h"

namespace quire::gateway {
namespace {

using nlohmann::json;
using testing::kTinyEos;
using testing::ScriptedBackend;
using testing::TokenWriter;

const grpc::Status kOk = grpc::Status::OK;

struct HttpAnswer {
  int status = 0;
  std::string head, body;
};

HttpAnswer Parse(const std::string& bytes) {
  HttpAnswer answer;
  const size_t split = bytes.find("\r\n\r\n");
  if (split == std::string::npos) return answer;
  answer.head = bytes.substr(0, split);
  answer.body = bytes.substr(split + 4);
  answer.status = std::stoi(answer.head.substr(9, 3));
  return answer;
}

// A stream's answer, taken apart.
struct Stream {
  std::string text, finish_reason;
  json usage;
  int errors = 0, finishes = 0, dones = 0, roles = 0;
  json last_error;

  int terminals() const { return errors + finishes; }
};

Stream ParseStream(const std::string& body) {
  Stream stream;
  for (size_t start = 0, end; (end = body.find("\n\n", start)) != std::string::npos; start = end + 2) {
    const std::string line = body.substr(start, end - start);
    if (line == "data: [DONE]") ++stream.dones;
    if (line.rfind("data: {", 0) != 0) continue;
    const json event = json::parse(line.substr(6));
    EXPECT_EQ(stream.dones, 0) << "an event after [DONE]";
    if (event.contains("usage") && !event["usage"].is_null()) stream.usage = event["usage"];
    if (event.contains("error")) {
      ++stream.errors;
      stream.last_error = event["error"];
      continue;
    }
    if (event["choices"].empty()) continue;
    const json& choice = event["choices"][0];
    EXPECT_EQ(stream.terminals(), 0) << "an event after the terminal one";
    if (choice["delta"].contains("role")) ++stream.roles;
    if (choice["delta"].contains("content")) stream.text += choice["delta"]["content"];
    if (!choice["finish_reason"].is_null()) {
      ++stream.finishes;
      stream.finish_reason = choice["finish_reason"];
    }
  }
  return stream;
}

class GatewayTest : public ::testing::Test {
 protected:
  void StartGateway() {
    GatewayOptions options;
    options.coordinator = backend_.address();
    options.pepper = backend_.pepper();
    auto started = Gateway::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    gateway_ = *std::move(started);
    Notification ready;
    gateway_->WhenReady([&] { ready.Notify(); });
    ASSERT_TRUE(ready.WaitForNotificationWithTimeout(absl::Seconds(30)));
  }
  void SetUp() override { StartGateway(); }

  std::string Request(const std::string& method, const std::string& path, const std::string& body,
                      const std::string& key) const {
    return absl::StrCat(method, " ", path, " HTTP/1.0\r\nhost: x\r\nauthorization: Bearer ", key,
                        "\r\ncontent-type: application/json\r\ncontent-length: ", body.size(), "\r\n\r\n",
                        body);
  }
  std::string ChatBody(const std::string& fields) const {
    return absl::StrCat(
        R"({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40)",
        fields.empty() ? "" : ", ", fields, "}");
  }
  HttpAnswer Call(const std::string& request) const {
    TestClient client(gateway_->api_port());
    client.Send(request);
    return Parse(client.ReadToEnd());
  }
  HttpAnswer Chat(const std::string& fields) const {
    return Call(Request("POST", "/v1/chat/completions", ChatBody(fields), backend_.key()));
  }
  Stream ChatStream(const std::string& fields = "") const {
    const HttpAnswer answer = Chat(absl::StrCat("\"stream\": true", fields.empty() ? "" : ", ", fields));
    EXPECT_EQ(answer.status, 200) << answer.body;
    const Stream stream = ParseStream(answer.body);
    EXPECT_EQ(stream.terminals(), 1) << answer.body;
    EXPECT_EQ(stream.dones, 1) << answer.body;
    return stream;
  }
  std::string Metrics() const {
    TestClient client(gateway_->metrics_port());
    client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    return client.ReadToEnd();
  }

  // Sends a text, the end token, and the end.
  void AnswerWith(const std::string& text) {
    backend_.generate = [text](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept(3);
      out.Text(text);
      out.Token(kTinyEos);
      out.Finish(v1::FINISH_STOP);
      return kOk;
    };
  }

  ScriptedBackend backend_;
  std::unique_ptr<Gateway> gateway_;
};

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
  TestClient client(gateway_->api_port());
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

TEST_F(GatewayTest, OutOfBudgetEndsWithinTheGrant) {
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(backend_.Grant(4));
    return kOk;
  };
  backend_.progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(4);
    result.set_stop(v1::STOP_BUDGET);
    return result;
  };
  AnswerWith("a longer answer");
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "a lo");
  EXPECT_EQ(stream.finish_reason, "budget");
  EXPECT_EQ(stream.usage["completion_tokens"], 4);
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_BUDGET);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 4u);
}

TEST_F(GatewayTest, ARevokedKeyEndsTheStreamWithOneError) {
  backend_.progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(40);
    result.set_stop(v1::STOP_REVOKED);
    return result;
  };
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ab");
    out.AwaitCancel();
    return kOk;
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.last_error["code"], "invalid_api_key");
  EXPECT_TRUE(stream.usage.is_null());
  EXPECT_EQ(backend_.AwaitSettle().reason(), v1::SETTLE_REVOKED);
}

TEST_F(GatewayTest, AWorkerThatDiesMidStreamGivesOneError) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abc");
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "abc");
  EXPECT_EQ(stream.errors, 1);
  EXPECT_TRUE(stream.usage.is_null());
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_SERVER_ERROR);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 3u);
}

TEST_F(GatewayTest, AWorkerThatEndsWithoutAFinishGivesOneError) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abc");
    return kOk;
  };
  EXPECT_EQ(ChatStream().errors, 1);
}

TEST_F(GatewayTest, TokensOutOfOrderGiveOneError) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("ab");
    TokenWriter again = out;  // a writer that begins at position 2 has been copied; this one repeats it
    out.Text("c");
    again.Text("d");
    out.AwaitCancel();
    return kOk;
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "abc");
  EXPECT_EQ(stream.errors, 1);
}

TEST_F(GatewayTest, AWorkerThatDiesBeforeTheFirstTokenGivesAnHttpError) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
  };
  for (const char* stream : {"\"stream\": true", "\"stream\": false"}) {
    const HttpAnswer answer = Chat(stream);
    EXPECT_EQ(answer.status, 503);
    EXPECT_NE(answer.head.find("retry-after"), std::string::npos);
    EXPECT_TRUE(json::parse(answer.body).contains("error"));
  }
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(1)), 0u);
}

TEST_F(GatewayTest, AWorkerWithoutRoomIsAskedForAnotherPlacement) {
  std::atomic<int> calls{0};
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    if (++calls == 1) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    EXPECT_EQ(request.attempt(), 2u);
    out.Accept();
    out.Text("ok");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const Stream stream = ChatStream();
  EXPECT_EQ(stream.text, "ok");
  EXPECT_EQ(stream.finish_reason, "length");
}

TEST_F(GatewayTest, AWorkerThatNeverHasRoomGivesAnErrorInTheEnd) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  };
  EXPECT_EQ(Chat("").status, 503);
}

TEST_F(GatewayTest, AnAdmitThatBreaksIsSentAgain) {
  std::atomic<int> calls{0};
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    if (++calls == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    write(backend_.Grant(256));
    return kOk;
  };
  AnswerWith("ok");
  EXPECT_EQ(ChatStream().text, "ok");
  EXPECT_EQ(calls, 2);
}

TEST_F(GatewayTest, ASettleIsSentUntilAcknowledged) {
  backend_.settles_to_refuse = 2;
  AnswerWith("ok");
  ChatStream();
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), 3u);
  EXPECT_TRUE(gateway_->Drain(absl::Seconds(10), absl::Seconds(30)));
}

TEST_F(GatewayTest, RefusalsBecomeTheirStatus) {
  const std::vector<std::pair<v1::RefusalReason, int>> table = {
      {v1::REFUSAL_KEY, 401},         {v1::REFUSAL_SCOPE, 403},     {v1::REFUSAL_MODEL, 404},
      {v1::REFUSAL_BUDGET, 402},      {v1::REFUSAL_RATE, 429},      {v1::REFUSAL_QUEUE_FULL, 429},
      {v1::REFUSAL_NO_CAPACITY, 503}, {v1::REFUSAL_TOO_LARGE, 400}, {v1::REFUSAL_LEDGER, 503},
      {v1::REFUSAL_UNSPECIFIED, 500},
  };
  for (const auto& [reason, status] : table) {
    backend_.admit = [reason = reason](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
      write(ScriptedBackend::Refusal(reason, 9));
      return kOk;
    };
    const HttpAnswer answer = Chat("\"stream\": true");
    EXPECT_EQ(answer.status, status) << reason;
    EXPECT_EQ(answer.head.find("retry-after: 9") != std::string::npos, status == 429 || status == 503)
        << answer.head;
  }
}

TEST_F(GatewayTest, ARefusalAfterThePlacementStopsTheWorker) {
  Notification cancelled;
  backend_.admit = [&](const v1::AdmitRequest&, const ScriptedBackend::AdmitWriter& write) {
    write(backend_.Placement());
    write(ScriptedBackend::Refusal(v1::REFUSAL_BUDGET));
    return kOk;
  };
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  EXPECT_EQ(Chat("").status, 402);
}

TEST_F(GatewayTest, AClientThatLeavesCancelsTheWorkerAndPaysForWhatItGot) {
  Notification cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("abcd");
    out.AwaitCancel();  // comes though no further token is made
    cancelled.Notify();
    return kOk;
  };
  TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  client.ReadUntil("\"content\":\"d\"");
  client.Close();
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_CLIENT_GONE);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 4u);
}

TEST_F(GatewayTest, AClientThatLeavesBeforeTheAnswerOwesNothing) {
  Notification started, cancelled;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    started.Notify();
    out.AwaitCancel();
    cancelled.Notify();
    return kOk;
  };
  TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody(""), backend_.key()));
  started.WaitForNotification();
  client.Reset();
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
  const v1::RequestSettle settle = backend_.AwaitSettle();
  EXPECT_EQ(settle.reason(), v1::SETTLE_ABANDONED);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), 0u);
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
  EXPECT_EQ(Call(Request("POST", path, ChatBody("\"n\": 2"), key)).status, 422);
  EXPECT_EQ(Call(Request("POST", path, ChatBody("\"logit_bias\": {\"258\": 1}"), key)).status, 422);
  const std::string unknown = R"({"model": "no", "messages": [{"role": "user", "content": "hi"}]})";
  EXPECT_EQ(Call(Request("POST", path, unknown, key)).status, 404);
  const std::string forbidden = R"({"model": "other", "messages": [{"role": "user", "content": "hi"}]})";
  EXPECT_EQ(Call(Request("POST", path, forbidden, key)).status, 403);
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

TEST_F(GatewayTest, DrainFinishesStreamsAndSettlesThem) {
  Notification started, go;
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Text("a");
    started.Notify();
    go.WaitForNotification();
    out.Text("b");
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  TestClient client(gateway_->api_port());
  client.Send(Request("POST", "/v1/chat/completions", ChatBody("\"stream\": true"), backend_.key()));
  started.WaitForNotification();
  std::thread drain([&] { EXPECT_TRUE(gateway_->Drain(absl::Seconds(30), absl::Seconds(30))); });
  go.Notify();
  const Stream stream = ParseStream(Parse(client.ReadToEnd()).body);
  drain.join();
  EXPECT_EQ(stream.text, "ab");
  EXPECT_EQ(stream.terminals(), 1);
  EXPECT_EQ(backend_.settled(), 1u);
}

}  // namespace
}  // namespace quire::gateway
