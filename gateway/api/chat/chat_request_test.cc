// A request's body as a whole: JSON, fields, bounds.
#include "gateway/api/chat/chat_request.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/chat/test_chat_bodies.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

TEST(ChatRequestTest, TakesEveryFieldItKnows) {
  const ChatRequest request = MustParse(Body(R"(
      "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
      "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2, "max_tokens": 7,
      "min_tokens": 2, "stop": ["a", "b"], "seed": 5, "logit_bias": {"3": -100, "12": 5.5}, "stop_token_ids": [2],
      "ignore_eos": true, "user": "u", "n": 1, "tools": [], "tool_choice": "auto", "unknown": {"x": [1]},
      "response_format": {"type": "text"}, "logprobs": false, "parallel_tool_calls": true)"));
  EXPECT_EQ(request.sampling.model, "m");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.usage_frames, UsageFrames::kLastChunk);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.min_p, 0.1);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(request.sampling.presence_penalty, -1);
  EXPECT_EQ(request.sampling.frequency_penalty, 2);
  EXPECT_EQ(request.sampling.max_tokens, 7);
  EXPECT_EQ(request.sampling.min_tokens, 2);
  EXPECT_EQ(request.sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.sampling.seed, 5u);
  EXPECT_EQ(request.sampling.logit_bias, (std::map<int32_t, double>{{3, -100}, {12, 5.5}}));
  EXPECT_EQ(request.sampling.stop_token_ids, (std::vector<int32_t>{2}));
  EXPECT_TRUE(request.sampling.ignore_eos);
}

TEST(ChatRequestTest, AbsentAndNullFieldsLeaveTheDefaults) {
  for (const char* fields :
       {"", R"("stream": null, "stop": null, "seed": null, "max_tokens": null, "tools": null,
                                    "temperature": null, "logit_bias": null, "n": null, "stream_options": null,
                                    "response_format": null, "reasoning": null)"}) {
    const ChatRequest request = MustParse(Body(fields));
    EXPECT_FALSE(request.stream);
    EXPECT_EQ(request.usage_frames, UsageFrames::kOnFinish);
    EXPECT_FALSE(request.sampling.temperature);
    EXPECT_FALSE(request.sampling.max_tokens);
    EXPECT_FALSE(request.sampling.seed);
    EXPECT_TRUE(request.sampling.stop.empty());
  }
}

TEST(ChatRequestTest, AcceptsWhatIsOddButAllowed) {
  EXPECT_EQ(MustParse(Body(R"("seed": -1)")).sampling.seed, UINT64_MAX);
  EXPECT_EQ(MustParse(Body(R"("seed": 18446744073709551615)")).sampling.seed, UINT64_MAX);
  EXPECT_EQ(MustParse(Body(R"("seed": -9223372036854775808)")).sampling.seed, uint64_t{1} << 63);
  EXPECT_EQ(MustParse(Body(R"("max_completion_tokens": 9)")).sampling.max_tokens, 9);
  EXPECT_EQ(MustParse(Body(R"("stop": "x")")).sampling.stop.size(), 1u);
  EXPECT_EQ(MustParse(Body(R"("temperature": -0)")).sampling.temperature, 0);
  EXPECT_EQ(MustParse(Body(R"("temperature": 1e-40)")).sampling.temperature, 1e-40);
  EXPECT_EQ(MustParse(Body(R"("stream": true, "stream_options": {"include_usage": false})")).usage_frames,
            UsageFrames::kNone);
  const std::string nul_content =
      MustParse(WithMessages(R"([{"role": "user", "content": "a\u0000b"}])")).prompt.turns[0].content;
  EXPECT_EQ(nul_content, std::string("a\0b", 3));
  const std::string long_text(8 << 20, 'x');
  EXPECT_EQ(MustParse(WithMessages(R"([{"role": "user", "content": ")" + long_text + "\"}]"))
                .prompt.turns[0]
                .content.size(),
            long_text.size());
}

TEST(ChatRequestTest, RefusesBadJson) {
  const std::string good = Body("");
  const std::vector<std::string> bodies = {
      "",
      "null",
      "[]",
      "\"x\"",
      "{",
      "\xEF\xBB\xBF" + good,
      good + " x",
      good + good,
      "/* c */" + good,
      good.substr(0, good.size() - 1) + ",}",
      Body(R"("max_tokens": 1, "max_tokens": 2)"),
      Body(R"("model": "other")"),
      Body(R"("x": {"a": 1, "a": 1})"),
      Body(R"("temperature": 1e400)"),
      Body(R"("temperature": 1e309)"),
      Body(R"("temperature": NaN)"),
      Body(R"("temperature": Infinity)"),
      Body(R"("user": "\ud800")"),
      Body(R"("user": "\udc00\ud800")"),
      Body("\"user\": \"\xff\""),
      Body("\"user\": \"\xc0\xaf\""),
      Body("\"user\": \"\xed\xa0\x80\""),
      Body("\"x\": " + std::string(64, '[') + std::string(64, ']')),
      Body("\"x\": " + std::string(1'000'000, '[')),
      std::string(1'000'000, '['),
      Body("\"x\": [0" +
           [] {
             std::string many;
             for (int i = 0; i < kMaxJsonValues; ++i) many += ",0";
             return many;
           }() +
           "]"),
  };
  for (const std::string& body : bodies) EXPECT_EQ(MustRefuse(body).status, 400) << body.substr(0, 99);
}

TEST(ChatRequestTest, AcceptsTheDepthLimitItself) {
  MustParse(Body("\"x\": " + std::string(63, '[') + std::string(63, ']')));
}

TEST(ChatRequestTest, AnIntegerIsOneHoweverItIsWritten) {
  const ChatRequest request = MustParse(Body(R"(
      "max_tokens": 1e2, "min_tokens": 5.0, "top_k": 4e1, "seed": -1.0, "stop_token_ids": [2.0, 3e0])"));
  EXPECT_EQ(request.sampling.max_tokens, 100);
  EXPECT_EQ(request.sampling.min_tokens, 5);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(request.sampling.stop_token_ids, (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(MustParse(Body(R"("seed": 1e19)")).sampling.seed, 10'000'000'000'000'000'000u);
  EXPECT_EQ(MustParse(Body(R"("seed": -0.0)")).sampling.seed, 0u);
  EXPECT_EQ(MustParse(Body(R"("top_p": 0)")).sampling.top_p, 0);
}

TEST(ChatRequestTest, ReadsWhetherTheModelIsToReason) {
  const auto reasons = [](const std::string& fields) { return MustParse(Body(fields)).prompt.reasons; };
  EXPECT_EQ(reasons(""), std::nullopt);
  for (const char* fields :
       {R"("reasoning_effort": "none")", R"("reasoning": {"enabled": false})",
        R"("reasoning": {"effort": "none"})",
        R"("reasoning": {"enabled": false}, "reasoning_effort": "none")", R"("enable_thinking": false)",
        R"("chat_template_kwargs": {"enable_thinking": false})"}) {
    EXPECT_EQ(reasons(fields), false) << fields;
  }
  for (const char* effort : {"minimal", "low", "medium", "high", "xhigh", "max"}) {
    EXPECT_EQ(reasons(absl::StrCat(R"("reasoning": {"enabled": true}, "reasoning_effort": ")", effort, "\"")),
              true);
  }
}

TEST(ChatRequestTest, ReadsHowReasoningIsToBeSaid) {
  EXPECT_TRUE(MustParse(Body("")).separate_reasoning);
  EXPECT_FALSE(MustParse(Body("")).exclude_reasoning);
  EXPECT_FALSE(MustParse(Body(R"("separate_reasoning": false)")).separate_reasoning);
  const ChatRequest excluded =
      MustParse(Body(R"("separate_reasoning": false, "reasoning": {"exclude": true})"));
  EXPECT_TRUE(excluded.exclude_reasoning);
  EXPECT_TRUE(excluded.separate_reasoning) << "what is left out has to be told apart";
}

TEST(ChatRequestTest, ReadsTheLoopGuard) {
  EXPECT_FALSE(MustParse(Body("")).sampling.loop_guard);
  EXPECT_TRUE(MustParse(Body(R"("loop_guard": true)")).sampling.loop_guard);
}

TEST(ChatRequestTest, BoundsCounts) {
  std::string turns, biases, stops;
  for (int i = 0; i < 100'000; ++i) {
    const char* comma = i == 0 ? "" : ",";
    absl::StrAppend(&turns, comma, R"({"role": "user", "content": ""})");
    absl::StrAppend(&biases, comma, "\"", i, "\": 1");
    if (i < 1000) absl::StrAppend(&stops, comma, "\"s\"");
  }
  const std::string long_text(1 << 20, 's');
  EXPECT_EQ(MustRefuse(WithMessages(absl::StrCat("[", turns, "]"))).param, "messages");
  EXPECT_EQ(MustRefuse(Body(absl::StrCat("\"logit_bias\": {", biases, "}"))).param, "logit_bias");
  EXPECT_EQ(MustRefuse(Body(absl::StrCat("\"stop\": [", stops, "]"))).param, "stop");
  EXPECT_EQ(MustRefuse(Body(absl::StrCat("\"stop\": \"", long_text, "\""))).param, "stop");
  EXPECT_EQ(MustRefuse(Body(absl::StrCat("\"user\": \"", long_text, "\""))).param, "user");
}

TEST(ChatRequestTest, ChecksTokenIdsAgainstTheVocabulary) {
  SamplingRequest request;
  request.logit_bias = {{9, 1.0}};
  EXPECT_FALSE(CheckTokenIds(request, 10));
  EXPECT_EQ(CheckTokenIds(request, 9)->param, "logit_bias.9");
  request.logit_bias.clear();
  request.stop_token_ids = {1, 9};
  EXPECT_FALSE(CheckTokenIds(request, 10));
  EXPECT_EQ(CheckTokenIds(request, 9)->param, "stop_token_ids.1");
}

}  // namespace
}  // namespace quire::gateway
