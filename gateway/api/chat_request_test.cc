#include "gateway/api/chat_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"

namespace quire::gateway {
namespace {

// A good body with further fields put in: Body("\"n\": 2").
std::string Body(const std::string& fields) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

std::string WithMessages(const std::string& messages) {
  return R"({"model": "m", "messages": )" + messages + "}";
}

ChatRequest MustParse(const std::string& body) {
  auto result = ParseChatRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&result)) {
    ADD_FAILURE() << body.substr(0, 200) << " -> " << error->message;
    return {};
  }
  return std::get<ChatRequest>(std::move(result));
}

http::ApiError MustRefuse(const std::string& body) {
  auto result = ParseChatRequest(body);
  if (std::holds_alternative<ChatRequest>(result)) {
    ADD_FAILURE() << "accepted: " << body.substr(0, 200);
    return {};
  }
  return std::get<http::ApiError>(std::move(result));
}

TEST(ChatRequestTest, TakesEveryFieldItKnows) {
  const ChatRequest request = MustParse(Body(R"(
      "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
      "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2, "max_tokens": 7,
      "min_tokens": 2, "stop": ["a", "b"], "seed": 5, "logit_bias": {"3": -100, "12": 5.5}, "stop_token_ids": [2],
      "ignore_eos": true, "user": "u", "n": 1, "tools": [], "tool_choice": "auto", "unknown": {"x": [1]},
      "response_format": {"type": "text"}, "logprobs": false, "parallel_tool_calls": true)"));
  EXPECT_EQ(request.model, "m");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.usage_frames, UsageFrames::kLastChunk);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.min_p, 0.1);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(request.sampling.presence_penalty, -1);
  EXPECT_EQ(request.sampling.frequency_penalty, 2);
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.min_tokens, 2);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.seed, 5u);
  EXPECT_EQ(request.logit_bias, (std::map<int32_t, double>{{3, -100}, {12, 5.5}}));
  EXPECT_EQ(request.stop_token_ids, (std::vector<int32_t>{2}));
  EXPECT_TRUE(request.ignore_eos);
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
    EXPECT_FALSE(request.max_tokens);
    EXPECT_FALSE(request.seed);
    EXPECT_TRUE(request.stop.empty());
  }
}

TEST(ChatRequestTest, ReadsTurns) {
  const ChatRequest request = MustParse(WithMessages(
      R"([{"role": "developer", "content": "d"}, {"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "text", "text": "b"}], "name": "n"}, {"role": "assistant", "content": "c", "tool_calls": []}])"));
  ASSERT_EQ(request.turns.size(), 3u);
  EXPECT_EQ(request.turns[0].role, "system");
  EXPECT_EQ(request.turns[1].content, "ab");
  EXPECT_TRUE(request.ContinuesAssistant());
}

TEST(ChatRequestTest, AcceptsWhatIsOddButAllowed) {
  EXPECT_EQ(MustParse(Body(R"("seed": -1)")).seed, UINT64_MAX);
  EXPECT_EQ(MustParse(Body(R"("seed": 18446744073709551615)")).seed, UINT64_MAX);
  EXPECT_EQ(MustParse(Body(R"("seed": -9223372036854775808)")).seed, uint64_t{1} << 63);
  EXPECT_EQ(MustParse(Body(R"("max_completion_tokens": 9)")).max_tokens, 9);
  EXPECT_EQ(MustParse(Body(R"("stop": "x")")).stop.size(), 1u);
  EXPECT_EQ(MustParse(Body(R"("temperature": -0)")).sampling.temperature, 0);
  EXPECT_EQ(MustParse(Body(R"("temperature": 1e-40)")).sampling.temperature, 1e-40);
  EXPECT_EQ(MustParse(Body(R"("stream": true, "stream_options": {"include_usage": false})")).usage_frames,
            UsageFrames::kNone);
  const std::string nul_content =
      MustParse(WithMessages(R"([{"role": "user", "content": "a\u0000b"}])")).turns[0].content;
  EXPECT_EQ(nul_content, std::string("a\0b", 3));
  const std::string long_text(8 << 20, 'x');
  EXPECT_EQ(MustParse(WithMessages(R"([{"role": "user", "content": ")" + long_text + "\"}]"))
                .turns[0]
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
      Body("\"x\": " + std::string(32, '[') + std::string(32, ']')),
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
  MustParse(Body("\"x\": " + std::string(31, '[') + std::string(31, ']')));
}

struct BadField {
  const char* fields;
  const char* param;
};

void ExpectRefused(const std::vector<BadField>& cases) {
  for (const BadField& c : cases) {
    const http::ApiError error = MustRefuse(Body(c.fields));
    EXPECT_EQ(error.status, 422) << c.fields;
    EXPECT_EQ(error.param, c.param) << c.fields;
  }
}

TEST(ChatRequestTest, RefusesNumbersOutOfRangeWithTheirPath) {
  ExpectRefused({
      {R"("n": 0)", "n"},
      {R"("n": -1)", "n"},
      {R"("n": 2147483648)", "n"},
      {R"("n": 1000000000)", "n"},
      {R"("best_of": 5)", "best_of"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 2147483648)", "max_tokens"},
      {R"("max_tokens": 9223372036854775808)", "max_tokens"},
      {R"("max_tokens": 18446744073709551616)", "max_tokens"},
      {R"("max_tokens": 5.5)", "max_tokens"},
      {R"("max_tokens": 0.5e0)", "max_tokens"},
      {R"("max_tokens": 1e30)", "max_tokens"},
      {R"("max_tokens": -5.0)", "max_tokens"},
      {R"("max_tokens": "5")", "max_tokens"},
      {R"("max_tokens": true)", "max_tokens"},
      {R"("max_tokens": 5, "max_completion_tokens": 6)", "max_completion_tokens"},
      {R"("max_tokens": 5, "min_tokens": 6)", "min_tokens"},
      {R"("temperature": -1)", "temperature"},
      {R"("temperature": 1e30)", "temperature"},
      {R"("temperature": "1")", "temperature"},
      {R"("temperature": [1])", "temperature"},
      {R"("top_p": -0.1)", "top_p"},
      {R"("top_p": 1.1)", "top_p"},
      {R"("top_k": -5)", "top_k"},
      {R"("top_k": 1000)", "top_k"},
      {R"("top_k": 1.5)", "top_k"},
      {R"("min_p": 1.5)", "min_p"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("repetition_penalty": 1e30)", "repetition_penalty"},
      {R"("presence_penalty": -1e30)", "presence_penalty"},
      {R"("frequency_penalty": 1e30)", "frequency_penalty"},
  });
}

TEST(ChatRequestTest, RefusesOtherFieldsOutOfRangeWithTheirPath) {
  ExpectRefused({
      {R"("logit_bias": {"-1": 1})", "logit_bias"},
      {R"("logit_bias": {"2147483648": 1})", "logit_bias"},
      {R"("logit_bias": {"1x": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 5, "01": -5})", "logit_bias"},
      {R"("logit_bias": {"-0": 3})", "logit_bias"},
      {R"("logit_bias": {"+1": 3})", "logit_bias"},
      {R"("logit_bias": {"": 1})", "logit_bias"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("logit_bias": {"1": 1e30})", "logit_bias.1"},
      {R"("logit_bias": {"1": null})", "logit_bias.1"},
      {R"("stop": "")", "stop"},
      {R"("stop": ["a", ""])", "stop.1"},
      {R"("stop": [1])", "stop.0"},
      {R"("stop": {"a": 1})", "stop"},
      {R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])", "stop"},
      {R"("seed": 18446744073709551616)", "seed"},
      {R"("seed": -9223372036854775809)", "seed"},
      {R"("seed": 1.5)", "seed"},
      {R"("seed": 1.8446744073709552e19)", "seed"},
      {R"("stop_token_ids": [1, 1.5])", "stop_token_ids.1"},
      {R"("reasoning_effort": "some")", "reasoning_effort"},
      {R"("reasoning_effort": 1)", "reasoning_effort"},
      {R"("reasoning": "none")", "reasoning"},
      {R"("reasoning": {"enabled": 1})", "reasoning.enabled"},
      {R"("reasoning": {"effort": "some"})", "reasoning.effort"},
      {R"("reasoning": {"enabled": false}, "reasoning_effort": "high")", "reasoning.enabled"},
      {R"("chat_template_kwargs": {"enable_thinking": "no"})", "chat_template_kwargs.enable_thinking"},
      {R"("metadata": "x")", "metadata"},
      {R"("store": 1)", "store"},
      {R"("prediction": [])", "prediction"},
      {R"("stop_token_ids": [-1])", "stop_token_ids.0"},
      {R"("stop_token_ids": [2147483648])", "stop_token_ids.0"},
      {R"("stop_token_ids": 1)", "stop_token_ids"},
      {R"("stream": 1)", "stream"},
      {R"("stream_options": {})", "stream_options"},
      {R"("stream": true, "stream_options": [])", "stream_options"},
      {R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options.include_usage"},
      {R"("ignore_eos": "yes")", "ignore_eos"},
      {R"("user": 5)", "user"},
      {R"("logprobs": 3)", "logprobs"},
      {R"("top_logprobs": 2147483648)", "top_logprobs"},
  });
}

TEST(ChatRequestTest, RefusesWhatComesLaterInsteadOfIgnoringIt) {
  ExpectRefused({
      {R"("n": 2)", "n"},
      {R"("tools": [{"type": "function"}])", "tools"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": {"type": "function"})", "tool_choice"},
      {R"("functions": [{}])", "functions"},
      {R"("response_format": {"type": "json_object"})", "response_format"},
      {R"("response_format": {})", "response_format"},
      {R"("response_format": "text")", "response_format"},
      {R"("logprobs": true)", "logprobs"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("functions": [], "function_call": {"name": "f"})", "function_call"},
      {R"("function_call": "required")", "function_call"},
      {R"("modalities": ["text", "audio"])", "modalities"},
      {R"("modalities": "text")", "modalities"},
      {R"("audio": {"voice": "alloy", "format": "wav"})", "audio"},
      {R"("web_search_options": {})", "web_search_options"},
      {R"("verbosity": "low")", "verbosity"},
      {R"("guided_json": {"type": "object"})", "guided_json"},
      {R"("structured_outputs": {"regex": "a"})", "structured_outputs"},
      {R"("echo": true)", "echo"},
      {R"("skip_special_tokens": false)", "skip_special_tokens"},
      {R"("documents": [{}])", "documents"},
      {R"("reasoning": {"max_tokens": 100})", "reasoning.max_tokens"},
      {R"("reasoning": {"exclude": true})", "reasoning.exclude"},
      {R"("chat_template_kwargs": {"enable_thinking": true, "date": "x"})", "chat_template_kwargs"},
      {R"("stream": true, "stream_options": {"continuous_usage_stats": true})",
       "stream_options.continuous_usage_stats"},
  });
}

TEST(ChatRequestTest, AcceptsFieldsThatAskForWhatHappensAnyway) {
  for (
      const char* fields :
      {R"("modalities": ["text"], "audio": null, "verbosity": "medium", "n": 1.0, "best_of": 1, "echo": false)",
       R"("functions": [], "function_call": "auto", "tools": [], "tool_choice": "none", "logprobs": false)",
       R"("store": true, "metadata": {"a": "b"}, "prediction": {"type": "content", "content": "x"})",
       R"("prompt_cache_retention": "24h", "safety_identifier": "s", "service_tier": "auto")",
       R"("stream": true, "stream_options": {"include_obfuscation": true})",
       R"("reasoning": {}, "chat_template_kwargs": {"x": null}, "guided_json": null, "bad_words": [])"}) {
    MustParse(Body(fields));
  }
}

TEST(ChatRequestTest, AnIntegerIsOneHoweverItIsWritten) {
  const ChatRequest request = MustParse(Body(R"(
      "max_tokens": 1e2, "min_tokens": 5.0, "top_k": 4e1, "seed": -1.0, "stop_token_ids": [2.0, 3e0])"));
  EXPECT_EQ(request.max_tokens, 100);
  EXPECT_EQ(request.min_tokens, 5);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.seed, UINT64_MAX);
  EXPECT_EQ(request.stop_token_ids, (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(MustParse(Body(R"("seed": 1e19)")).seed, 10'000'000'000'000'000'000u);
  EXPECT_EQ(MustParse(Body(R"("seed": -0.0)")).seed, 0u);
  EXPECT_EQ(MustParse(Body(R"("top_p": 0)")).sampling.top_p, 0);
}

TEST(ChatRequestTest, ReadsWhetherTheModelIsToReason) {
  const auto field = [](const std::string& fields) { return MustParse(Body(fields)).no_reasoning_field; };
  EXPECT_EQ(field(""), "");
  EXPECT_EQ(field(R"("reasoning_effort": "none")"), "reasoning_effort");
  EXPECT_EQ(field(R"("reasoning": {"enabled": false})"), "reasoning.enabled");
  EXPECT_EQ(field(R"("reasoning": {"effort": "none"})"), "reasoning.effort");
  EXPECT_EQ(field(R"("reasoning": {"enabled": false}, "reasoning_effort": "none")"), "reasoning.enabled");
  EXPECT_EQ(field(R"("enable_thinking": false)"), "enable_thinking");
  EXPECT_EQ(field(R"("chat_template_kwargs": {"enable_thinking": false})"),
            "chat_template_kwargs.enable_thinking");
  for (const char* effort : {"minimal", "low", "medium", "high", "xhigh", "max"}) {
    EXPECT_EQ(field(absl::StrCat(R"("reasoning": {"enabled": true}, "reasoning_effort": ")", effort, "\"")),
              "");
  }
  EXPECT_TRUE(MustParse(Body(R"("separate_reasoning": true)")).separate_reasoning);
}

// Whatever OpenAI's API knows in a message and a prompt of text can't hold.
TEST(ChatRequestTest, NothingInAMessageIsDroppedSilently) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"("role": "assistant", "content": "a", "tool_calls": [{"id": "1"}])", "tool_calls"},
      {R"("role": "assistant", "content": null, "tool_calls": [{"id": "1"}])", "tool_calls"},
      {R"("role": "assistant", "tool_calls": {"id": "1"})", "tool_calls"},
      {R"("role": "assistant", "content": "a", "function_call": {"name": "f", "arguments": "{}"})",
       "function_call"},
      {R"("role": "assistant", "content": null, "function_call": {"name": "f"})", "function_call"},
      {R"("role": "assistant", "content": null, "refusal": "I can't")", "refusal"},
      {R"("role": "assistant", "content": "a", "refusal": "I can't")", "refusal"},
      {R"("role": "assistant", "content": [{"type": "refusal", "refusal": "no"}])", "content.0.type"},
      {R"("role": "assistant", "content": null, "audio": {"id": "audio_1"})", "audio"},
      {R"("role": "user", "content": "a", "images": ["aGk="])", "images"},
      {R"("role": "user", "content": "a", "tool_call_id": "1")", "tool_call_id"},
      {R"("role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])",
       "content.0.type"},
      {R"("role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}])", "content.0.type"},
      {R"("role": "tool", "tool_call_id": "1", "content": "9")", "role"},
      {R"("role": "function", "name": "f", "content": "9")", "role"},
      {R"("role": "assistant")", "content"},
  };
  for (const auto& [message, field] : cases) {
    const http::ApiError error = MustRefuse(WithMessages(
        absl::StrCat(R"([{"role": "user", "content": "q"}, {"role": "system", "content": "s"}, {)", message,
                     R"(}, {"role": "user", "content": "q"}])")));
    EXPECT_EQ(error.status, 422) << message;
    EXPECT_EQ(error.param, absl::StrCat("messages.2.", field)) << message;
  }
  const http::ApiError calls =
      MustRefuse(WithMessages(R"([{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}])"));
  EXPECT_NE(calls.message.find("tool calls"), std::string::npos) << calls.message;
  // As the SDKs echo an answer: every field there, most of them null.
  const ChatRequest echoed =
      MustParse(WithMessages(R"([{"role": "user", "content": "q"}, {"role": "assistant",
      "content": "a", "refusal": null, "audio": null, "function_call": null, "tool_calls": null,
      "annotations": [], "reasoning_content": "hm"}, {"role": "user", "content": "q"}])"));
  EXPECT_EQ(echoed.turns.size(), 3u);
  EXPECT_EQ(
      MustRefuse(WithMessages(R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a",
      "reasoning_content": "hm"}])"))
          .param,
      "messages.1.reasoning_content");
}

TEST(ChatRequestTest, RefusesBadMessagesWithTheirPath) {
  const std::string long_name(1 << 20, 'n');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "messages"},
      {"null", "messages"},
      {"{}", "messages"},
      {"[1]", "messages.0"},
      {R"([{"content": "x"}])", "messages.0.role"},
      {R"([{"role": "tool", "content": "x"}])", "messages.0.role"},
      {R"([{"role": "bot", "content": "x"}])", "messages.0.role"},
      {R"([{"role": 1, "content": "x"}])", "messages.0.role"},
      {R"([{"role": "user"}])", "messages.0.content"},
      {R"([{"role": "user", "content": null}])", "messages.0.content"},
      {R"([{"role": "user", "content": 5}])", "messages.0.content"},
      {R"([{"role": "user", "content": {}}])", "messages.0.content"},
      {R"([{"role": "user", "content": ["x"]}])", "messages.0.content.0"},
      {R"([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "image_url", "image_url": {"url": "http://169.254.169.254"}}]}])",
       "messages.1.content.1.type"},
      {R"([{"role": "user", "content": [{"type": "input_audio"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages.0.content.0.text"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": "x", "name": ")" + long_name + R"("}])", "messages.0.name"},
      {R"([{"role": "assistant", "content": "x", "tool_calls": [{}]}])", "messages.0.tool_calls"},
  };
  for (const auto& [messages, param] : cases) {
    const http::ApiError error = MustRefuse(WithMessages(messages));
    EXPECT_EQ(error.status, 422) << messages.substr(0, 99);
    EXPECT_EQ(error.param, param) << messages.substr(0, 99);
  }
  EXPECT_EQ(MustRefuse(R"({"messages": [{"role": "user", "content": "x"}]})").param, "model");
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
  ChatRequest request;
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
