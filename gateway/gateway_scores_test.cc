// An echo with logprobs: the prompt's own tokens with their scores, streamed as whole; what it costs, also
// where that is all that was asked for; and a group that dies in the midst of it.
#include "gateway/gateway_completions_test_fixture.h"

namespace quire::gateway {
namespace {

class GatewayScoresTest : public GatewayCompletionsTest {
 protected:
  // Scores by fours, then "xy", or one token where no more is asked for. Attempts before the last one die
  // when so many prompt tokens have their scores.
  void ScoreAndSay(std::vector<uint32_t> deaths = {}) {
    backend_.generate = [deaths](const v1::GenerateRequest& request, TokenWriter& out) {
      out.Accept();
      const bool dies = request.attempt() <= deaths.size();
      const auto end =
          dies ? deaths[request.attempt() - 1] : static_cast<uint32_t>(request.prompt_ids_size());
      for (uint32_t next = request.scoring().from(); request.has_scoring() && next < end;) {
        const uint32_t count = std::min<uint32_t>(4, end - next);
        out.Scores(next, count, request.scoring().top_logprobs());
        next += count;
      }
      if (dies) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "rank 1 is gone");
      for (int i = 0; i < request.choices_size(); ++i) {
        out.Choose(static_cast<uint32_t>(i));
        for (uint32_t position = 0; position < std::min(2u, request.max_tokens()); ++position) {
          const TokenId id = 'x' + static_cast<TokenId>(position);
          std::map<TokenId, float> top;
          if (request.sampling().top_logprobs() > 0) top = {{id, -0.5f}};
          if (request.sampling().logprobs()) out.Token(id, -0.5f, top);
          if (!request.sampling().logprobs()) out.Token(id);
        }
        out.Finish(v1::FINISH_LENGTH);
      }
      return kOk;
    };
  }
};

constexpr const char* kScored = R"("echo": true, "logprobs": 2)";

TEST_F(GatewayScoresTest, ThePromptsTokensStandBeforeTheAnswers) {
  ScoreAndSay();
  for (const char* stream : {"", R"(, "stream": true)"}) {
    const Completed all = MustComplete(R"("h\u00e9!")", absl::StrCat(kScored, stream));
    EXPECT_EQ(all.texts.at(0), "h\xC3\xA9!xy");
    const json& lists = all.logprobs.at(0);
    EXPECT_EQ(lists["tokens"], json::parse(R"(["h", "bytes:\\xc3", "bytes:\\xa9", "!", "x", "y"])"));
    EXPECT_EQ(lists["token_logprobs"], json::parse("[null, -1, -2, -3, -0.5, -0.5]"));
    EXPECT_EQ(lists["text_offset"], json::parse("[0, 1, 1, 2, 3, 4]"));
    EXPECT_TRUE(lists["top_logprobs"][0].is_null());
    EXPECT_EQ(lists["top_logprobs"][3], json::parse(R"({"1": -1, "2": -2, "!": -3})"));
    EXPECT_EQ(lists["top_logprobs"][5], json::parse(R"({"y": -0.5})"));
    EXPECT_EQ(all.usage["completion_tokens"], 2);
  }
}

TEST_F(GatewayScoresTest, TopsAreNullWhereNoneWereAskedFor) {
  ScoreAndSay();
  const json whole = json::parse(Complete(R"("ab")", R"("echo": true, "logprobs": 0)").body)["choices"][0];
  EXPECT_TRUE(whole["logprobs"]["top_logprobs"].is_null());
  EXPECT_EQ(whole["logprobs"]["token_logprobs"], json::parse("[null, -1, -0.5, -0.5]"));
  const Completed ids =
      MustComplete("[97, 98]", R"("echo": true, "logprobs": 1, "return_tokens_as_token_ids": true)");
  EXPECT_EQ(ids.logprobs.at(0)["tokens"],
            json::parse(R"(["token_id:97", "token_id:98", "token_id:120", "token_id:121"])"));
  EXPECT_EQ(ids.texts.at(0), "abxy");
}

TEST_F(GatewayScoresTest, EachChoiceOfEachPromptHasItsPromptsScores) {
  ScoreAndSay();
  for (const char* stream : {"", R"(, "stream": true)"}) {
    const Completed all =
        MustComplete(R"(["abc", [100, 257, 101]])", absl::StrCat(kScored, R"(, "n": 2)", stream));
    ASSERT_EQ(all.texts.size(), 4u);
    for (const int choice : {0, 1}) {
      EXPECT_EQ(all.texts.at(choice), "abcxy");
      EXPECT_EQ(all.logprobs.at(choice)["tokens"], json::parse(R"(["a", "b", "c", "x", "y"])"));
      EXPECT_EQ(all.texts.at(2 + choice), "d<|im_end|>exy");
      EXPECT_EQ(all.logprobs.at(2 + choice)["text_offset"], json::parse("[0, 1, 11, 12, 13]"));
      EXPECT_EQ(all.logprobs.at(2 + choice)["token_logprobs"], json::parse("[null, -1, -2, -0.5, -0.5]"));
    }
  }
}

// Longer than a chunk of a stream, and than what a group may send unread.
TEST_F(GatewayScoresTest, ALongPromptComesInSeveralChunks) {
  ScoreAndSay();
  const std::string prompt = absl::StrCat("\"", std::string(1300, 'a'), "\"");
  const Completed whole = MustComplete(prompt, kScored);
  const HttpAnswer stream = Complete(prompt, absl::StrCat(kScored, R"(, "stream": true)"));
  EXPECT_EQ(OfBody(stream.body).logprobs, whole.logprobs);
  EXPECT_EQ(OfBody(stream.body).texts, whole.texts);
  EXPECT_EQ(whole.logprobs.at(0)["token_logprobs"][1299], -1299);
}

TEST_F(GatewayScoresTest, NothingButThePromptCostsThePrompt) {
  ScoreAndSay();
  size_t settles = 0;
  for (const char* fields : {R"("logprobs": 2)", R"("logprobs": 2, "stream": true)",
                             R"("n": 2, "logprobs": 0)", R"("stream": true)", R"("stop": "x")"}) {
    SCOPED_TRACE(fields);
    const std::string body =
        absl::StrCat(R"({"model": "tiny", "prompt": "abcde", "echo": true, "max_tokens": 0, )", fields, "}");
    const HttpAnswer answer = Call(Request("POST", "/v1/completions", body, backend_.key()));
    ASSERT_EQ(answer.status, 200) << answer.body;
    const Completed all = OfBody(answer.body);
    for (const auto& [choice, text] : all.texts) {
      EXPECT_EQ(text, "abcde");
      EXPECT_EQ(all.finishes.at(choice), "length");
    }
    for (const auto& [choice, lists] : all.logprobs) EXPECT_EQ(lists["tokens"].size(), 5u);
    EXPECT_EQ(all.usage["prompt_tokens"], 5);
    EXPECT_EQ(all.usage["completion_tokens"], 0);
    EXPECT_EQ(all.usage["total_tokens"], 5);
    EXPECT_GT(all.usage["estimated_cost"].get<double>(), 0);
    const v1::RequestSettle settle = backend_.AwaitSettle(settles++);
    EXPECT_EQ(ScriptedBackend::DeliveredOf(settle), all.texts.size());
    EXPECT_EQ(settle.reason(), v1::SETTLE_COMPLETED);
  }
  EXPECT_EQ(backend_.settled(), settles);
  const std::string metrics = Metrics();
  for (const char* none : {"tokens_delivered_total 0\n", "first_token_seconds_count 0\n"}) {
    EXPECT_NE(metrics.find(absl::StrCat("quire_gateway_", none)), std::string::npos) << none;
  }
}

// As a grammar may want it: what the answer's one token says is that the prompt was read.
TEST_F(GatewayScoresTest, AnAnswerWithoutTextHasItsPromptsScores) {
  backend_.generate = [](const v1::GenerateRequest&, TokenWriter& out) {
    out.Accept();
    out.Scores(1, 4, 2);
    out.Token(kTinyEos, -1, {{kTinyEos, -1.0f}});
    out.Finish(v1::FINISH_STOP);
    return kOk;
  };
  size_t settles = 0;
  for (const char* stream : {"", R"(, "stream": true)"}) {
    const Completed all = MustComplete(R"("abcde")", absl::StrCat(kScored, stream));
    EXPECT_EQ(all.texts.at(0), "abcde");
    EXPECT_EQ(all.finishes.at(0), "stop");
    EXPECT_EQ(all.logprobs.at(0)["token_logprobs"], json::parse("[null, -1, -2, -3, -4]"));
    EXPECT_EQ(all.usage["completion_tokens"], 1);
    EXPECT_EQ(ScriptedBackend::DeliveredOf(backend_.AwaitSettle(settles++)), 1u);
  }
}

TEST_F(GatewayScoresTest, WhatWasScoredIsNotScoredAgain) {
  ScoreAndSay();
  const Completed calm = MustComplete(R"("0123456789abcdefghij")", kScored);
  std::atomic<uint32_t> epoch{1};
  backend_.readmit = [&](const v1::ReadmitRequest&) { return backend_.Elsewhere(++epoch); };
  std::vector<uint32_t> froms;
  for (const char* stream : {"", R"(, "stream": true)"}) {
    froms.clear();
    epoch = 1;
    ScoreAndSay({1, 13});
    Mutex mutex;
    backend_.generate = [&, script = backend_.generate](const v1::GenerateRequest& request,
                                                        TokenWriter& out) {
      {
        MutexLock lock(&mutex);
        froms.push_back(request.scoring().from());
      }
      return script(request, out);
    };
    const Completed all = MustComplete(R"("0123456789abcdefghij")", absl::StrCat(kScored, stream));
    EXPECT_EQ(all.logprobs, calm.logprobs);
    EXPECT_EQ(all.texts, calm.texts);
    EXPECT_EQ(all.usage, calm.usage);
    MutexLock lock(&mutex);
    EXPECT_EQ(froms, (std::vector<uint32_t>{1, 1, 13}));
  }
}

// Whoever says them twice, or a token or an end before they are whole, is no group to go on with.
TEST_F(GatewayScoresTest, ScoresOutOfOrderEndTheAttempt) {
  for (const int wrong : {0, 1, 2, 3}) {
    backend_.generate = [wrong](const v1::GenerateRequest&, TokenWriter& out) {
      out.Accept();
      out.Scores(wrong == 0 ? 2 : 1, wrong == 1 ? 9 : 1, 2);
      if (wrong == 2) out.Token('x', -1, {{'x', -1.0f}});
      if (wrong == 3) out.Finish(v1::FINISH_STOP);
      out.AwaitCancel();
      return kOk;
    };
    std::atomic<uint32_t> epoch{1};
    backend_.readmit = [&](const v1::ReadmitRequest&) { return backend_.Elsewhere(++epoch); };
    EXPECT_EQ(Complete(R"("abcd")", kScored).status, 503) << wrong;
  }
}

TEST_F(GatewayScoresTest, SoManyScoresAndNoMore) {
  ScoreAndSay();
  std::string ids = "[97", prompts = "[";
  for (size_t i = 1; i < 1900; ++i) ids += ",97";
  for (size_t i = 0; i < 6; ++i) prompts += absl::StrCat(i > 0 ? "," : "", ids, "]");
  const HttpAnswer refused = Complete(prompts + "]", R"("echo": true, "logprobs": 5, "n": 4)");
  EXPECT_EQ(refused.status, 422) << refused.body.substr(0, 300);
  EXPECT_EQ(json::parse(refused.body)["error"]["param"], "echo");
}

}  // namespace
}  // namespace quire::gateway
