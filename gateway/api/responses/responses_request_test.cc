// A Responses request: what its fields and its input's items come to, and each refusal's path.
#include "gateway/api/responses/responses_request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/chat_request.h"
#include "gateway/api/responses/responses_echo.h"

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
  const auto echo = nlohmann::json::parse(request.echo);
  EXPECT_EQ(echo["metadata"]["a"], "b");
  EXPECT_EQ(echo["store"], false);
  EXPECT_TRUE(echo["top_p"].is_null());
}

TEST(ResponsesRequestTest, TextBehindCallsIsOfTheAnswerThatCalled) {
  constexpr char kGet[] = R"({"type": "function_call", "call_id": "1", "name": "get", "arguments": "{}"})";
  constexpr char kPut[] = R"({"type": "function_call", "call_id": "2", "name": "put", "arguments": "{}"})";
  constexpr char kText[] = R"({"type": "message", "role": "assistant", "content": [
      {"type": "output_text", "text": "Let me see."}]})";
  constexpr char kGot[] = R"({"type": "function_call_output", "call_id": "1", "output": "x"})";
  constexpr char kDone[] = R"({"type": "function_call_output", "call_id": "2", "output": "y"})";
  auto turns = MustParse(absl::StrCat(R"("input": [{"role": "user", "content": "q"}, )", kGet, ",", kText,
                                      ",", kGot, "]"))
                   .prompt.turns;
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_EQ(turns[1].content, "Let me see.");
  EXPECT_EQ(turns[1].tool_calls.size(), 1u);
  EXPECT_EQ(turns[2].content, "x");
  turns = MustParse(absl::StrCat("\"input\": [", kText, ",", kGet, ",", kText, ",", kPut, ",", kGot, ",",
                                 kDone, ",", kText, "]"))
              .prompt.turns;
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns[0].content, "Let me see.Let me see.");
  EXPECT_EQ(turns[0].tool_calls.size(), 2u);
  EXPECT_EQ(turns[3].content, "Let me see.") << "behind the outputs it is an answer of its own";
}

TEST(ResponsesRequestTest, ATextHasAForm) {
  const TextFormat schema = MustParse(R"("input": "a", "text": {"format": {"type": "json_schema", "name": "n",
      "description": "d", "schema": {"z": 1, "a": 2}, "strict": false}})")
                                .sampling.format;
  EXPECT_EQ(schema.kind, TextFormat::Kind::kJsonSchema);
  EXPECT_EQ(schema.schema.dump(), R"({"z":1,"a":2})");
  EXPECT_EQ(schema.param, "text.format.schema");
  EXPECT_FALSE(schema.strict);
  const auto object = MustParse(R"("input": "a", "text": {"format": {"type": "json_object"}})");
  EXPECT_EQ(object.sampling.format.kind, TextFormat::Kind::kJsonObject);
  EXPECT_EQ(nlohmann::json::parse(object.echo)["text"]["format"]["type"], "json_object");
}

TEST(ResponsesRequestTest, GivesBackWhatItRead) {
  const auto echo = nlohmann::json::parse(
      MustParse(R"("input": "a", "instructions": "be\u2028brief", "temperature": 0.5, "max_output_tokens": 7,
          "reasoning": {"effort": "low", "x": "unread"}, "user": "u",
          "text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "x": "unread"}, "x": "unread"},
          "tools": [{"type": "function", "name": "get", "description": "d", "parameters": {"b": 1}, "x": "unread"}],
          "tool_choice": {"type": "function", "name": "get", "x": "unread"})")
          .echo);
  EXPECT_EQ(echo.dump().find("unread"), std::string::npos);
  EXPECT_EQ(echo["instructions"],
            "be\xE2\x80\xA8"
            "brief");
  EXPECT_EQ(echo["temperature"], 0.5);
  EXPECT_EQ(echo["max_output_tokens"], 7);
  EXPECT_EQ(echo["user"], "u");
  EXPECT_EQ(echo["reasoning"], nlohmann::json::parse(R"({"effort": "low", "summary": null})"));
  EXPECT_EQ(
      echo["text"]["format"],
      nlohmann::json::parse(R"({"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": true})"));
  EXPECT_EQ(echo["tools"], nlohmann::json::parse(R"([{"type": "function", "name": "get", "description": "d",
      "parameters": {"b": 1}, "strict": null}])"));
  EXPECT_EQ(echo["tool_choice"], nlohmann::json::parse(R"({"type": "function", "name": "get"})"));
}

TEST(ResponsesRequestTest, GivesBackNoMoreThanABound) {
  for (const char* unit : {"\x7F", "\xC3\xA9", "\xC2\x85", "\xE2\x80\xA8", "\\u0001"}) {
    std::string much;
    while (much.size() < (200 << 10)) much += unit;
    const std::string echo =
        MustParse(
            absl::StrCat(
                R"("input": "a", "instructions": ")", much, R"(", "reasoning": {"x": ")", much,
                R"("}, "text": {"format": {"type": "json_schema", "name": "n", "schema": {"description": ")",
                much, R"("}}}, "tools": [{"type": "function", "name": "get", "description": ")",
                much.substr(0, 60000), R"("}, {"type": "function", "name": "put", "parameters": {"x": ")",
                much.substr(0, 60000), "\"}}]"))
            .echo;
    EXPECT_LE(echo.size(), kMaxEchoBytes + 1024);
    for (const char* end : {"\n", "\xC2\x85", "\xE2\x80\xA8"}) EXPECT_EQ(echo.find(end), std::string::npos);
  }
  const auto echo =
      nlohmann::json::parse(MustParse(absl::StrCat(R"("input": "a", "user": "u", "instructions": ")",
                                                   std::string(kMaxEchoBytes, 'x'), "\""))
                                .echo);
  EXPECT_TRUE(echo["instructions"].is_null());
  EXPECT_EQ(echo["user"], "u");
}

TEST(ResponsesRequestTest, AChoiceOfToolsIsRefusedInTheChatsWords) {
  const auto why = [](const auto& result) { return std::get<http::ApiError>(result).message; };
  for (const char* choice : {"\"required\"", "\"any\""}) {
    const std::string fields = absl::StrCat(R"({"model": "m", "tool_choice": )", choice);
    EXPECT_EQ(
        why(ParseResponsesRequest(absl::StrCat(fields, R"(, "input": "a"})"))),
        why(ParseChatRequest(absl::StrCat(fields, R"(, "messages": [{"role": "user", "content": "a"}]})"))));
  }
  EXPECT_EQ(why(ParseResponsesRequest(
                R"({"model": "m", "input": "a", "tools": [{"type": "function", "name": "f"}],
                    "tool_choice": {"type": "function", "name": "g"}})")),
            "tool_choice.name: no tool of \"tools\" has this name");
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
      {R"("input": "a", "text": {"format": "json_object"})", "text.format"},
      {R"("input": "a", "text": {"format": {"type": "grammar"}})", "text.format.type"},
      {R"("input": "a", "text": {"format": {"type": "json_schema"}})", "text.format.schema"},
      {R"("input": "a", "text": {"format": {"type": "json_schema", "schema": {}, "strict": 1}})",
       "text.format.strict"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
                    {"role": "assistant", "content": "x"}])",
       "input"},
      {R"("input": [{"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
                    {"type": "function_call", "call_id": "2", "name": "a", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "1", "output": "x"},
                    {"role": "assistant", "content": "x"}])",
       "input.3.role"},
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
