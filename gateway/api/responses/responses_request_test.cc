// A Responses request: what its fields and its input's items come to, and each refusal's path.
#include "gateway/api/responses/responses_request.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

using Strings = std::vector<std::string>;

ResponsesRequest MustParse(const std::string& fields) {
  auto result = ParseResponsesRequest(absl::StrCat("{\"model\": \"m\", ", fields, "}"));
  if (auto* error = std::get_if<http::ApiError>(&result)) {
    ADD_FAILURE() << fields << " -> " << error->message;
    return {};
  }
  return std::get<ResponsesRequest>(std::move(result));
}

// role:content of each turn.
Strings Said(const std::string& fields) {
  Strings said;
  for (const ChatTurn& turn : MustParse(fields).prompt.turns) said.push_back(turn.role + ":" + turn.content);
  return said;
}

TEST(ResponsesRequestTest, InputIsAStringOrItems) {
  EXPECT_EQ(Said(R"("input": "a", "instructions": "s")"), (Strings{"system:s", "user:a"}));
  EXPECT_EQ(
      Said(
          R"("input": [{"role": "developer", "content": "s"}, {"type": "message", "role": "user", "content": [
      {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
      {"type": "reasoning", "id": "rs_1", "summary": []},
      {"type": "message", "id": "x", "role": "assistant", "status": "completed", "content": [
      {"type": "output_text", "text": "c", "annotations": []}]}, {"role": "user", "content": "d"}])"),
      (Strings{"system:s", "user:ab", "assistant:c", "user:d"}));
}

constexpr char kCalls[] = R"({"role": "user", "content": "q"}, {"role": "assistant", "content": "t"},
    {"type": "function_call", "call_id": "1", "name": "get", "arguments": "{\"b\": 1, \"a\": 2}"},
    {"type": "function_call", "call_id": "2", "name": "put", "arguments": ""},
    {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "y"}]},
    {"type": "function_call_output", "call_id": "1", "output": "x"})";

TEST(ResponsesRequestTest, CallsAndOutputsAreTurnsInTheCallsOrder) {
  const auto turns = MustParse(absl::StrCat(R"("input": [)", kCalls, R"(,
      {"type": "function_call", "call_id": "1", "name": "get", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "1", "output": "z"}])"))
                         .prompt.turns;
  ASSERT_EQ(turns.size(), 6u);
  EXPECT_EQ(turns[1].content, "t");
  ASSERT_EQ(turns[1].tool_calls.size(), 2u);
  EXPECT_EQ(turns[1].tool_calls[0].arguments.dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(turns[1].tool_calls[1].arguments.dump(), "{}");
  EXPECT_EQ(turns[2].content, "x");
  EXPECT_EQ(turns[2].name, "get");
  EXPECT_EQ(turns[3].tool_call_id, "2");
  EXPECT_EQ(turns[4].role, "assistant") << "an answer of its own, which called again";
  EXPECT_EQ(turns[5].content, "z");
}

TEST(ResponsesRequestTest, ReadsTheFields) {
  const ResponsesRequest request = MustParse(
      R"("input": "a", "max_output_tokens": 5, "temperature": 0, "stream": true, "parallel_tool_calls": false,
         "tools": [{"type": "function", "name": "get", "parameters": {"type": "object"}, "strict": false}],
         "tool_choice": {"type": "function", "name": "get"}, "reasoning": {"effort": "none", "summary": "auto"},
         "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "top_logprobs": 2,
         "metadata": {"a": "b"}, "text": {"format": {"type": "text"}}, "store": true, "truncation": "disabled")");
  EXPECT_EQ(request.sampling.max_tokens, 5);
  EXPECT_TRUE(request.stream && request.sampling.logprobs && request.prompt.separate_reasoning);
  EXPECT_EQ(request.sampling.top_logprobs, 2u);
  EXPECT_EQ(request.prompt.reasons, false);
  EXPECT_EQ(request.prompt.tools.only, "get");
  EXPECT_FALSE(request.prompt.tools.parallel);
  EXPECT_EQ(request.prompt.tools.tools[0].strict, false);
  EXPECT_EQ(request.prompt.tools.tools[0].declaration.dump(),
            R"({"type":"function","function":{"name":"get","parameters":{"type":"object"}}})");
  EXPECT_EQ(request.echo["metadata"]["a"], "b");
  EXPECT_EQ(request.echo["store"], false);
  EXPECT_TRUE(request.echo["top_p"].is_null());
}

TEST(ResponsesRequestTest, RefusesWithThePath) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("instructions": "s")", "input"},
      {R"("input": [])", "input"},
      {R"("input": 5)", "input"},
      {R"("input": [5])", "input.0"},
      {R"("input": [{"content": "x"}])", "input.0.role"},
      {R"("input": [{"role": "tool", "content": "x"}])", "input.0.role"},
      {R"("input": [{"role": "user"}])", "input.0.content"},
      {R"("input": [{"role": "user", "content": ["x"]}])", "input.0.content.0"},
      {R"("input": [{"role": "user", "content": [{"type": "input_image"}]}])", "input.0.content.0.type"},
      {R"("input": [{"role": "user", "content": [{"type": "input_text"}]}])", "input.0.content.0.text"},
      {R"("input": [{"type": "item_reference", "id": "x"}])", "input.0.type"},
      {R"("input": [{"type": "function_call", "name": "a", "arguments": "{}"}])", "input.0.call_id"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a b", "arguments": "{}"}])",
       "input.0.name"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "[]"}])",
       "input.0.arguments"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"}])", "input"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
                    {"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"}])",
       "input.1.call_id"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
                    {"role": "user", "content": "x"}])",
       "input.1.role"},
      {R"("input": [{"type": "function_call_output", "call_id": "1", "output": "x"}])", "input.0.call_id"},
      {R"("input": "a", "max_output_tokens": 0)", "max_output_tokens"},
      {R"("input": "a", "previous_response_id": "x")", "previous_response_id"},
      {R"("input": "a", "conversation": "x")", "conversation"},
      {R"("input": "a", "background": true)", "background"},
      {R"("input": "a", "truncation": "auto")", "truncation"},
      {R"("input": "a", "tools": [{"type": "web_search"}])", "tools.0.type"},
      {R"("input": "a", "tool_choice": "required")", "tool_choice"},
      {R"("input": "a", "text": {"format": {"type": "json_object"}})", "text.format"},
      {R"("input": "a", "reasoning": {"effort": "huge"})", "reasoning.effort"},
      {R"("input": "a", "metadata": {"a": 5})", "metadata"},
      {R"("input": "a", "top_logprobs": 21)", "top_logprobs"},
      {R"("input": "a", "include": "x")", "include"},
  };
  for (const auto& [fields, param] : cases) {
    const auto result = ParseResponsesRequest(absl::StrCat("{\"model\": \"m\", ", fields, "}"));
    const auto* error = std::get_if<http::ApiError>(&result);
    ASSERT_NE(error, nullptr) << fields;
    EXPECT_EQ(error->param, param) << fields << error->message;
    EXPECT_EQ(error->status, 422) << fields;
  }
}

}  // namespace
}  // namespace quire::gateway
