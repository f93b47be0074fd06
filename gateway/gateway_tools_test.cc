// Tools through the whole gateway: what a model's prompt says of them, calls streamed and whole, what ends
// them, what is billed, and that a group's death changes nothing of it.
#include <algorithm>

#include "gateway/gateway_test_fixture.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {
namespace {

constexpr char kTools[] =
    R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
                 {"type": "function", "function": {"name": "g"}}])";
constexpr char kCalls[] =
    "Hm \xE2\x82\xAC.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9}\"}}\n</tool_call>\n"
    "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";

class GatewayToolsTest : public GatewayTest {
 protected:
  GatewayToolsTest() : GatewayTest(testing::TinyToolBundle()) {}

  void SetUp() override {
    GatewayTest::SetUp();
    backend_.admit = [this](const v1::AdmitRequest& request, const ScriptedBackend::AdmitWriter& write) {
      write(backend_.Grant(request.max_tokens() * request.choices()));
      write(backend_.Placement());
      return kOk;
    };
    backend_.readmit = [this](const v1::ReadmitRequest&) { return backend_.Elsewhere(++epoch_); };
  }

  // Tags as their tokens, all else byte by byte.
  static std::vector<TokenId> Ids(std::string text) {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      const bool opens = text.starts_with("<tool_call>"), closes = text.starts_with("</tool_call>");
      ids.push_back(opens ? 258 : closes ? 259 : static_cast<unsigned char>(text[0]));
      text.erase(0, opens ? 11 : closes ? 12 : 1);
    }
    ids.push_back(kTinyEos);
    return ids;
  }
  // Of each choice; the first attempt ends after `cut` tokens.
  void Make(const std::vector<TokenId>& ids, size_t cut = SIZE_MAX) {
    backend_.generate = [ids, cut](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept(3);
      const bool cuts = request.attempt() == 1 && cut < ids.size();
      for (int c = 0; c < request.choices_size(); ++c) {
        if (request.choices(c).done()) continue;
        out.Choose(c);
        const size_t end = std::min<size_t>(cuts ? cut : ids.size(), request.max_tokens());
        for (size_t i = request.choices(c).resumed_ids_size(); i < end; ++i) {
          request.sampling().logprobs() ? out.Token(ids[i], -1, {}) : out.Token(ids[i]);
        }
        if (!cuts) out.Finish(end < ids.size() ? v1::FINISH_LENGTH : v1::FINISH_STOP);
      }
      return cuts ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone") : kOk;
    };
  }
  HttpAnswer Ask(const std::string& fields,
                 const std::string& messages = R"({"role": "user", "content": "hi"})",
                 int max_tokens = 300) const {
    const std::string body =
        absl::StrCat(R"({"model": "tiny", "messages": [)", messages, "], \"max_tokens\": ", max_tokens,
                     fields.empty() ? "" : ", ", fields, "}");
    return Call(Request("POST", "/v1/chat/completions", body, backend_.key()));
  }
  json Whole(const std::string& fields, int max_tokens = 300) const {
    const HttpAnswer answer = Ask(fields, R"({"role": "user", "content": "hi"})", max_tokens);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  // The stream of the same request says the same as the whole answer, but for ids, which are the request's.
  Stream ExpectStreamed(const json& whole, const std::string& fields, int max_tokens = 300) const {
    const Stream stream = ParseStream(
        Ask(absl::StrCat("\"stream\": true, ", fields), R"({"role": "user", "content": "hi"})", max_tokens)
            .body);
    const json& choice = whole["choices"][0];
    EXPECT_EQ(stream.terminals(), 1);
    EXPECT_EQ(stream.text, choice["message"]["content"].is_null() ? json("") : choice["message"]["content"]);
    EXPECT_EQ(NoIds(stream.tool_calls), NoIds(choice["message"].value("tool_calls", json::array())));
    EXPECT_EQ(stream.finish_reason, choice["finish_reason"]);
    EXPECT_EQ(stream.usage, whole["usage"]);
    return stream;
  }
  static json NoIds(json calls) {
    for (json& call : calls) call.erase("id");
    return calls;
  }

  std::atomic<uint64_t> epoch_{1};
};

TEST_F(GatewayToolsTest, CallsAreSaidStreamedAndWhole) {
  const std::vector<TokenId> ids = Ids(kCalls);
  Make(ids);
  const json whole = Whole(kTools);
  const json& choice = whole["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "Hm \xE2\x82\xAC.");
  EXPECT_EQ(NoIds(choice["message"]["tool_calls"]),
            json::parse(R"([{"type": "function", "function": {"name": "f", "arguments": "{\"a\": \"é}\"}"}},
                            {"type": "function", "function": {"name": "g", "arguments": "{}"}}])"));
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(whole["usage"]["completion_tokens"], ids.size());
  ExpectStreamed(whole, kTools);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(i)), ids.size());
}

TEST_F(GatewayToolsTest, BesideCallsAloneContentIsNull) {
  Make(Ids("<tool_call>{\"name\": \"g\"}</tool_call>"));
  const json whole = Whole(kTools);
  EXPECT_TRUE(whole["choices"][0]["message"].at("content").is_null());
  ExpectStreamed(whole, kTools);
}

TEST_F(GatewayToolsTest, WhereNoToolMayBeCalledMarkupIsText) {
  Make(Ids(kCalls));
  for (const std::string& fields :
       {std::string("\"n\": 1"), absl::StrCat(kTools, ", \"tool_choice\": \"none\"")}) {
    const json whole = Whole(fields);
    EXPECT_EQ(whole["choices"][0]["message"]["content"], kCalls);
    EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
    ExpectStreamed(whole, fields);
  }
}

TEST_F(GatewayToolsTest, WhatIsCutEndsWithLengthStreamedAndWhole) {
  const std::vector<TokenId> ids = Ids(kCalls);
  Make(ids);
  for (int max_tokens = 1; max_tokens < static_cast<int>(ids.size()); ++max_tokens) {
    const json whole = Whole(kTools, max_tokens);
    EXPECT_EQ(whole["choices"][0]["finish_reason"], "length") << max_tokens;
    EXPECT_EQ(whole["usage"]["completion_tokens"], max_tokens);
    ExpectStreamed(whole, kTools, max_tokens);
  }
}

// The worker is told to stop, too, and what it made beyond is not billed.
TEST_F(GatewayToolsTest, WithoutParallelCallsTheFirstEndsTheAnswer) {
  const std::vector<TokenId> ids = Ids(kCalls);
  const std::string fields = absl::StrCat(kTools, R"(, "parallel_tool_calls": false, "n": 2)");
  std::atomic<int> stopped{0};
  backend_.generate = [&](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept(3);
    for (const TokenId id : ids) out.Token(id);
    out.AwaitChoiceCancel();
    ++stopped;
    out.Choose(1);
    out.Text("text");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const json whole = Whole(fields);
  EXPECT_EQ(stopped, 1);
  const json& first = whole["choices"][0];
  EXPECT_EQ(first["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(first["finish_reason"], "tool_calls");
  EXPECT_EQ(whole["choices"][1]["message"]["content"], "text");
  EXPECT_EQ(whole["choices"][1]["finish_reason"], "stop");
  const size_t call = std::string(kCalls).find("}}") + 1 - 10;  // less the tag's other bytes
  EXPECT_EQ(whole["usage"]["completion_tokens"], call + 5);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle()), call + 5);
}

TEST_F(GatewayToolsTest, EachChoiceHasItsOwnCalls) {
  Make(Ids(kCalls));
  const json whole = Whole(absl::StrCat(kTools, ", \"n\": 3"));
  std::vector<std::string> ids;
  for (const json& choice : whole["choices"]) {
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    for (const json& call : choice["message"]["tool_calls"]) ids.push_back(call["id"]);
  }
  EXPECT_EQ(ids.size(), 6u);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_F(GatewayToolsTest, AnAnswerCutAtAnyTokenIsTheUndisturbedOne) {
  const std::vector<TokenId> ids = Ids(kCalls);
  Make(ids);
  const json calm = Whole(kTools);
  for (size_t cut = 0; cut < ids.size(); ++cut) {
    Make(ids, cut);
    const Stream stream = ExpectStreamed(calm, kTools);
    EXPECT_EQ(stream.tool_calls.size(), 2u) << cut;
    EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(cut + 1)), ids.size()) << cut;
  }
}

// Every token whose text is of the answer has its entry, in the order that they were made in.
TEST_F(GatewayToolsTest, LogprobsHaveTheTokensOfCallsToo) {
  const std::vector<TokenId> ids = Ids(kCalls);
  Make(ids);
  const std::string fields = absl::StrCat(kTools, ", \"logprobs\": true");
  const json whole = Whole(fields);
  std::string bytes;
  for (const json& entry : whole["choices"][0]["logprobs"]["content"]) {
    for (const int byte : entry["bytes"]) bytes += static_cast<char>(byte);
  }
  const std::string all = kCalls;
  EXPECT_EQ(bytes, all.substr(0, all.rfind("}\n"))) << "but what closes the last";
  ExpectStreamed(whole, fields);
}

TEST_F(GatewayToolsTest, AConversationWithCallsIsRendered) {
  v1::GenerateRequest asked;
  backend_.generate = [&](const v1::GenerateRequest& request, TokenWriter& out) {
    asked = request;
    out.Accept();
    out.Text("ok");
    out.Token(kTinyEos);
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  const HttpAnswer answer = Ask(kTools, R"({"role": "user", "content": "<tool_call>"},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f",
       "arguments": "{\"b\":1,\"a\":\"</tool_call>\"}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto model = *TextModel::Create(testing::TinyToolBundle());
  std::string prompt;
  for (const TokenId id : asked.prompt_ids()) prompt += model->tokenizer().BytesOf(id);
  EXPECT_EQ(
      prompt.substr(prompt.find("<|im_start|>user")),
      "<|im_start|>user\n<tool_call><|im_end|>\n<|im_start|>assistant\n\n<tool_call>\n{\"name\": \"f\", "
      "\"arguments\": {\"b\": 1, \"a\": \"</tool_call>\"}}\n</tool_call><|im_end|>\n"
      "<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n");
  const auto of = [&](TokenId id) {
    return std::count(asked.prompt_ids().begin(), asked.prompt_ids().end(), id);
  };
  EXPECT_EQ(of(258), 1) << "the template's alone is a tag";
  EXPECT_EQ(of(259), 1);
}

class GatewayNoToolsTest : public GatewayTest {
 protected:
  GatewayNoToolsTest() : GatewayTest(testing::TinyBundleWithoutSystem()) {}
};

TEST_F(GatewayNoToolsTest, AModelWithoutToolsSaysSo) {
  const HttpAnswer answer = Chat(kTools);
  EXPECT_EQ(answer.status, 400);
  const json error = json::parse(answer.body)["error"];
  EXPECT_EQ(error["param"], "tools");
  EXPECT_EQ(error["code"], "tools_not_supported");
}

}  // namespace
}  // namespace quire::gateway
