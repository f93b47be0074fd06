// Text completions: what a prompt may be, what the old form says, and the hosted original's own form.
#include "gateway/gateway_completions_test_fixture.h"

namespace quire::gateway {
namespace {

TEST_F(GatewayCompletionsTest, APromptGoesOnAsItIs) {
  SayPrompts();
  for (const char* path : {"/v1/completions", "/v1/openai/completions"}) {
    const json body = json::parse(Complete(R"("ab")", "", path).body);
    EXPECT_EQ(body["object"], "text_completion");
    EXPECT_EQ(body["id"].get<std::string>().substr(0, 5), "cmpl-");
    EXPECT_EQ(body["model"], "tiny");
    EXPECT_EQ(body["choices"].size(), 1u);
    EXPECT_EQ(body["choices"][0],
              json::parse(R"({"index": 0, "text": "abab0", "logprobs": null, "finish_reason": "stop"})"));
    EXPECT_EQ(body["usage"]["prompt_tokens"], 2);
    EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  }
  EXPECT_EQ(MustComplete("[97, 98]").texts, (Texts{{0, "abab0"}}));
  EXPECT_EQ(MustComplete(R"(["ab"])").texts, (Texts{{0, "abab0"}}));
  EXPECT_EQ(MustComplete("[[97, 98]]").texts, (Texts{{0, "abab0"}}));
}

TEST_F(GatewayCompletionsTest, ControlTokensOfATextAreRead) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    EXPECT_EQ(request.prompt_ids(0), kTinyEos);
    out.Accept();
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  EXPECT_EQ(MustComplete(R"("<|im_end|>a")").usage["prompt_tokens"], 2);
}

TEST_F(GatewayCompletionsTest, UsageStandsWhereAChatHasIt) {
  SayPrompts();
  const std::string last =
      Complete(R"(["a", "b"])", R"("stream": true, "stream_options": {"include_usage": true})").body;
  EXPECT_NE(last.find("\"choices\":[],\"usage\":{"), std::string::npos);
  EXPECT_EQ(OfBody(last).usages, 1);
  EXPECT_EQ(MustComplete(R"("a")", R"("stream": true, "stream_options": {"include_usage": false})").usages,
            0);
}

// ---- what the old form has ----

TEST_F(GatewayCompletionsTest, EchoPutsThePromptBeforeEachText) {
  SayPrompts();
  for (const char* fields : {R"("echo": true, "n": 2)", R"("echo": true, "n": 2, "stream": true)"}) {
    const Completed all = MustComplete(R"(["a\u2028<|im_end|>", [98, 257]])", fields);
    ASSERT_EQ(all.texts.size(), 4u);
    EXPECT_TRUE(all.texts.at(0).starts_with("a\xE2\x80\xA8<|im_end|>a"));
    EXPECT_TRUE(all.texts.at(3).starts_with("b<|im_end|>b"));
    EXPECT_TRUE(all.texts.at(3).ends_with("1"));
  }
}

TEST_F(GatewayCompletionsTest, LogprobsAreFourLists) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    out.Accept();
    float logprob = -0.25f;
    for (const TokenId id : testing::TinyIds("h\xC3\xA9!")) {
      std::map<TokenId, float> top;
      if (request.sampling().top_logprobs() > 0) top = {{'h', -0.25f}, {'z', -4}};
      out.Token(id, logprob *= 2, top);
    }
    out.Finish(v1::FINISH_LENGTH);
    return kOk;
  };
  const json whole = MustComplete(R"("a")", R"("logprobs": 2)").logprobs.at(0);
  EXPECT_EQ(MustComplete(R"("a")", R"("logprobs": 2, "stream": true)").logprobs.at(0), whole);
  EXPECT_EQ(whole["tokens"], json::parse(R"(["h", "bytes:\\xc3", "bytes:\\xa9", "!"])"));
  EXPECT_EQ(whole["token_logprobs"], json::parse("[-0.5, -1, -2, -4]"));
  EXPECT_EQ(whole["text_offset"], json::parse("[0, 1, 1, 2]"));
  EXPECT_EQ(whole["top_logprobs"][0], json::parse(R"({"h": -0.25, "z": -4})"));
  EXPECT_EQ(whole["top_logprobs"][3], json::parse(R"({"h": -0.25, "z": -4, "!": -4})"));
  const json none = json::parse(Complete(R"("a")", R"("logprobs": 0)").body)["choices"][0]["logprobs"];
  EXPECT_TRUE(none["top_logprobs"].is_null());
  EXPECT_EQ(none["tokens"].size(), 4u);
  const json ids =
      MustComplete(R"("a")", R"("logprobs": 1, "return_tokens_as_token_ids": true)").logprobs.at(0);
  EXPECT_EQ(ids["tokens"][1], "token_id:195");
  EXPECT_EQ(ids["top_logprobs"][3],
            json::parse(R"({"token_id:104": -0.25, "token_id:122": -4, "token_id:33": -4})"));
}

// ---- the hosted original's own form ----

TEST_F(GatewayCompletionsTest, AnInferenceIsWholeOrAStreamOfTokens) {
  backend_.generate = [](const v1::GenerateRequest& request, TokenWriter& out) {
    EXPECT_EQ(PromptOf(request), "ab");
    EXPECT_EQ(request.max_tokens(), 7u);
    out.Accept();
    for (int i = 0; i < request.choices_size(); ++i) {
      out.Choose(static_cast<uint32_t>(i));
      for (const TokenId id : testing::TinyIds("h\xC3\xA9")) {
        if (request.sampling().logprobs()) {
          out.Token(id, -0.5f, {});
        } else {
          out.Token(id);
        }
      }
      out.Finish(v1::FINISH_LENGTH);
    }
    return kOk;
  };
  const auto post = [&](const std::string& fields) {
    return Call(Request("POST", "/v1/inference/tiny",
                        absl::StrCat(R"({"input": "ab", "max_new_tokens": 7)", fields, "}"), backend_.key()));
  };
  const json whole = json::parse(post(R"(, "num_responses": 2)").body);
  EXPECT_EQ(whole["results"], json::parse(R"([{"generated_text": "hé"}, {"generated_text": "hé"}])"));
  EXPECT_EQ(whole["inference_status"]["status"], "succeeded");
  EXPECT_EQ(whole["inference_status"]["tokens_generated"], 6);
  EXPECT_EQ(whole["num_tokens"], 6);
  EXPECT_EQ(whole["num_input_tokens"], 2);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(0)), 6u);

  const std::string stream = post(R"(, "stream": true)").body;
  std::string text;
  json last;
  std::vector<int> ids;
  for (size_t start = 0, end; (end = stream.find("\n\n", start)) != std::string::npos; start = end + 2) {
    const std::string line = stream.substr(start, end - start);
    last = json::parse(line.substr(line.find("data: ") + 6));
    text += last["token"]["text"];
    if (last["token"]["id"].is_number()) ids.push_back(last["token"]["id"]);
  }
  EXPECT_EQ(text, "hé");
  EXPECT_EQ(ids, (std::vector<int>{'h', 0xC3, 0xA9}));
  EXPECT_EQ(last["generated_text"], "hé");
  EXPECT_EQ(last["details"]["finish_reason"], "length");
  EXPECT_EQ(last["details"]["generated_tokens"], 3);
  EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(1)), 3u);
}

TEST_F(GatewayCompletionsTest, WhatAnInferenceCannotBeIsRefused) {
  const std::tuple<const char*, int, const char*> cases[] = {
      {R"({"input": "a", "webhook": "http://example.com"})", 422, "webhook"},
      {R"({"input": "a", "webhook": ["https://example.com"]})", 422, "webhook"},
      {R"({"input": "a", "webhook": "https://example.com", "stream": true})", 422, "webhook"},
      {R"({"input": "a", "stream": true, "num_responses": 2})", 422, "num_responses"},
      {R"({"input": ""})", 422, "input"},
      {R"({"input": ["a"]})", 422, "input"},
      {R"({"input": "a", "max_new_tokens": 0})", 422, "max_new_tokens"},
      {R"({"input": "a", "response_format": {"type": "xml"}})", 422, "response_format.type"},
  };
  for (const auto& [body, status, param] : cases) {
    const HttpAnswer answer = Call(Request("POST", "/v1/inference/tiny", body, backend_.key()));
    EXPECT_EQ(answer.status, status) << body;
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], param) << body;
  }
  const std::string too_long = absl::StrCat(R"({"input": ")", std::string(2001, 'x'), R"("})");
  const HttpAnswer refused = Call(Request("POST", "/v1/inference/tiny", too_long, backend_.key()));
  EXPECT_EQ(json::parse(refused.body)["error"]["param"], "input");
  for (const char* name : {"Qwen/QwQ-32B", "other", ""}) {
    const std::string path = absl::StrCat("/v1/inference/", name);
    EXPECT_EQ(Call(Request("POST", path, R"({"input": "a"})", backend_.key())).status, 404) << name;
  }
}

}  // namespace
}  // namespace quire::gateway
