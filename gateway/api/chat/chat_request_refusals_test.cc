// Fields that are refused, each by its path, and those that change nothing.
#include <vector>

#include "gateway/api/chat/test_chat_bodies.h"

namespace quire::gateway {
namespace {

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

TEST(ChatRequestRefusalsTest, RefusesNumbersOutOfRangeWithTheirPath) {
  ExpectRefused({
      {R"("n": 0)", "n"},
      {R"("n": -1)", "n"},
      {R"("n": 5)", "n"},
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

TEST(ChatRequestRefusalsTest, RefusesOtherFieldsOutOfRangeWithTheirPath) {
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
      {R"("reasoning": {"exclude": 1})", "reasoning.exclude"},
      {R"("separate_reasoning": "no")", "separate_reasoning"},
      {R"("loop_guard": {"repeats": 3})", "loop_guard"},
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
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("logprobs": false, "top_logprobs": 3)", "top_logprobs"},
  });
}

TEST(ChatRequestRefusalsTest, RefusesWhatComesLaterInsteadOfIgnoringIt) {
  ExpectRefused({
      {R"("functions": [{}])", "functions"},
      {R"("response_format": "text")", "response_format"},
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
      {R"("chat_template_kwargs": {"enable_thinking": true, "date": "x"})", "chat_template_kwargs"},
      {R"("stream": true, "stream_options": {"continuous_usage_stats": true})",
       "stream_options.continuous_usage_stats"},
  });
}

TEST(ChatRequestRefusalsTest, AcceptsFieldsThatAskForWhatHappensAnyway) {
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

}  // namespace
}  // namespace quire::gateway
