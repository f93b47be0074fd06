// The fields of a Messages request beside its conversation: what they come to, and each refusal's path.
#include "gateway/api/messages/messages_request.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/test_messages_bodies.h"

namespace quire::gateway {
namespace {

struct BadField {
  const char* fields;
  const char* param;
};

void ExpectRefused(const std::vector<BadField>& cases) {
  for (const BadField& c : cases) {
    const http::ApiError error = MustRefuseMessages(MessagesBody(c.fields));
    EXPECT_EQ(error.status, 422) << c.fields;
    EXPECT_EQ(error.param, c.param) << c.fields << error.message;
  }
}

constexpr char kTool[] = R"({"name": "get", "input_schema": {"type": "object"}})";

TEST(MessagesRequestTest, ReadsHowTokensAreChosen) {
  const MessagesRequest request = MustParseMessages(MessagesBody(
      R"("temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["a", "b"], "seed": 7, "stream": true)"));
  EXPECT_EQ(request.sampling.model, "m");
  EXPECT_EQ(request.sampling.max_tokens, 100);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.seed, 7u);
  EXPECT_EQ(request.sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.prompt.separate_reasoning);
  EXPECT_EQ(request.prompt.reasons, std::nullopt);
  EXPECT_EQ(request.sampling.choices, 1u);
}

TEST(MessagesRequestTest, MaxTokensIsNeededForAnAnswerAndNotForACount) {
  const std::string body = R"({"model": "m", "messages": [{"role": "user", "content": "hi"}]})";
  EXPECT_EQ(MustRefuseMessages(body).param, "max_tokens");
  EXPECT_EQ(MustParseMessages(body, MessagesUse::kCount).sampling.max_tokens, std::nullopt);
  EXPECT_EQ(MustRefuseMessages(R"({"messages": []})", MessagesUse::kCount).param, "model");
  EXPECT_EQ(MustRefuseMessages("[1]").code, "invalid_json");
  EXPECT_EQ(MustRefuseMessages("{").status, 400);
}

TEST(MessagesRequestTest, RefusesWhatIsOutOfRangeWithItsPath) {
  ExpectRefused({
      {R"("temperature": 2.5)", "temperature"},
      {R"("temperature": "1")", "temperature"},
      {R"("top_p": 1.1)", "top_p"},
      {R"("top_k": -1)", "top_k"},
      {R"("stream": "yes")", "stream"},
      {R"("stop_sequences": [""])", "stop_sequences.0"},
      {R"("stop_sequences": ["a", 1])", "stop_sequences.1"},
      {R"("stop_sequences": {"a": 1})", "stop_sequences"},
      {R"("stop_sequences": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])",
       "stop_sequences"},
      {R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16"], "stop_sequences": ["a"])",
       "stop_sequences"},
      {R"("metadata": "x")", "metadata"},
      {R"("metadata": {"user_id": 5})", "metadata.user_id"},
      {R"("service_tier": 1)", "service_tier"},
      {R"("system": 5)", "system"},
      {R"("container": "c")", "container"},
      {R"("mcp_servers": [{"url": "x"}])", "mcp_servers"},
  });
}

TEST(MessagesRequestTest, ThinkingSaysWhetherAndHowLong) {
  MessagesRequest request =
      MustParseMessages(MessagesBody(R"("thinking": {"type": "enabled", "budget_tokens": 99})"));
  EXPECT_EQ(request.prompt.reasons, true);
  EXPECT_EQ(request.sampling.think_budget, 99u);
  EXPECT_FALSE(request.omits_thinking);
  request = MustParseMessages(MessagesBody(R"("thinking": {"type": "disabled"})"));
  EXPECT_EQ(request.prompt.reasons, false);
  EXPECT_EQ(request.sampling.think_budget, std::nullopt);
  request = MustParseMessages(MessagesBody(R"("thinking": {"type": "adaptive", "display": "omitted"})"));
  EXPECT_EQ(request.prompt.reasons, std::nullopt);
  EXPECT_TRUE(request.omits_thinking);
  ExpectRefused({
      {R"("thinking": true)", "thinking"},
      {R"("thinking": {})", "thinking.type"},
      {R"("thinking": {"type": "always"})", "thinking.type"},
      {R"("thinking": {"type": "enabled"})", "thinking.budget_tokens"},
      {R"("thinking": {"type": "enabled", "budget_tokens": 0})", "thinking.budget_tokens"},
      {R"("thinking": {"type": "enabled", "budget_tokens": 100})", "thinking.budget_tokens"},
      {R"("thinking": {"type": "enabled", "budget_tokens": 1e30})", "thinking.budget_tokens"},
      {R"("thinking": {"type": "adaptive", "display": "x"})", "thinking.display"},
  });
}

TEST(MessagesRequestTest, ToolsAreDeclaredAsTemplatesTakeThem) {
  const MessagesRequest request = MustParseMessages(MessagesBody(
      R"("tools": [{"name": "get", "description": "d", "input_schema": {"type": "object", "b": 1, "a": 2}},
                   {"type": "custom", "name": "put", "input_schema": {}, "strict": false, "eager_input_streaming": true}])"));
  const ToolRules& rules = request.prompt.tools;
  ASSERT_EQ(rules.tools.size(), 2u);
  EXPECT_EQ(rules.tools[0].declaration.dump(),
            R"({"type":"function","function":{"name":"get","description":"d",)"
            R"("parameters":{"type":"object","b":1,"a":2}}})");
  EXPECT_EQ(rules.tools[0].parameters.dump(), R"({"type":"object","b":1,"a":2})");
  EXPECT_EQ(rules.tools[0].strict, std::nullopt);
  EXPECT_EQ(rules.tools[1].strict, false);
  EXPECT_EQ(rules.use, ToolUse::kAuto);
  EXPECT_TRUE(rules.parallel);
  EXPECT_TRUE(MustParseMessages(MessagesBody(R"("tools": [])")).prompt.tools.tools.empty());
}

TEST(MessagesRequestTest, ToolChoice) {
  const auto rules = [](const std::string& choice) {
    return MustParseMessages(
               MessagesBody(absl::StrCat("\"tools\": [", kTool, "], \"tool_choice\": ", choice)))
        .prompt.tools;
  };
  EXPECT_EQ(rules(R"({"type": "auto", "disable_parallel_tool_use": true})").parallel, false);
  EXPECT_EQ(rules(R"({"type": "auto"})").use, ToolUse::kAuto);
  EXPECT_EQ(rules(R"({"type": "none"})").use, ToolUse::kNone);
  EXPECT_EQ(rules(R"({"type": "any"})").use, ToolUse::kRequired);
  EXPECT_EQ(rules(R"({"type": "any"})").only, "");
  EXPECT_EQ(rules(R"({"type": "tool", "name": "get"})").use, ToolUse::kRequired);
  EXPECT_EQ(rules(R"({"type": "tool", "name": "get"})").only, "get");
  EXPECT_EQ(MustParseMessages(MessagesBody(R"("tool_choice": {"type": "auto"})")).prompt.tools.use,
            ToolUse::kAuto);
}

TEST(MessagesRequestTest, RefusesToolsThatAreNoneWithTheirPath) {
  ExpectRefused({
      {R"("tools": {})", "tools"},
      {R"("tools": [5])", "tools.0"},
      {R"("tools": [{"input_schema": {}}])", "tools.0.name"},
      {R"("tools": [{"name": "a b", "input_schema": {}}])", "tools.0.name"},
      {R"("tools": [{"name": "a", "input_schema": {}}, {"name": "a", "input_schema": {}}])", "tools.1.name"},
      {R"("tools": [{"name": "a"}])", "tools.0.input_schema"},
      {R"("tools": [{"name": "a", "input_schema": []}])", "tools.0.input_schema"},
      {R"("tools": [{"name": "a", "input_schema": {"type": "array"}}])", "tools.0.input_schema.type"},
      {R"("tools": [{"name": "a", "input_schema": {}, "description": 1}])", "tools.0.description"},
      {R"("tools": [{"name": "a", "input_schema": null}])", "tools.0.input_schema"},
      {R"("tools": [{"name": "a", "input_schema": {}, "strict": 1}])", "tools.0.strict"},
      {R"("tools": [{"type": "web_search_20250305", "name": "web_search"}])", "tools.0.type"},
      {R"("tool_choice": "auto")", "tool_choice"},
      {R"("tool_choice": {"type": "any"})", "tool_choice.type"},
      {R"("tool_choice": {"type": "sometimes"})", "tool_choice.type"},
      {R"("tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "b"})",
       "tool_choice.name"},
      {R"("tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool"})",
       "tool_choice.name"},
  });
  std::string many = "\"tools\": [";
  for (int i = 0; i < 129; ++i) {
    absl::StrAppend(&many, i > 0 ? "," : "", "{\"name\": \"t", i, "\", \"input_schema\": {}}");
  }
  EXPECT_EQ(MustRefuseMessages(MessagesBody(many + "]")).param, "tools");
  const std::string large = absl::StrCat("{\"x\": \"", std::string(250 << 10, 'x'), "\"}");
  many = "\"tools\": [";
  for (int i = 0; i < 5; ++i) {
    absl::StrAppend(&many, i > 0 ? "," : "", "{\"name\": \"t", i, "\", \"input_schema\": ", large, "}");
  }
  EXPECT_EQ(MustRefuseMessages(MessagesBody(many + "]")).param, "tools.4.input_schema") << "all together";
}

// As Claude Code sends them: what only Anthropic's servers do is let be where it changes no answer.
TEST(MessagesRequestTest, WhatChangesNothingIsTaken) {
  const MessagesRequest request = MustParseMessages(MessagesBody(
      R"("metadata": {"user_id": "u"}, "service_tier": "auto", "output_config": {"effort": "high"},
         "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
         "container": null, "mcp_servers": [], "betas": ["x"], "unknown": {"a": [1]})"));
  EXPECT_FALSE(request.tells_cached);
  ExpectRefused({
      {R"("output_config": {"effort": "huge"})", "output_config.effort"},
      {R"("output_config": {"format": {"type": "json_object"}})", "output_config.format.type"},
      {R"("output_config": {"format": {"type": "json_schema"}})", "output_config.format.schema"},
      {R"("output_format": {"type": "json_schema"})", "output_format.schema"},
      {R"("output_format": "json")", "output_format"},
      {R"("output_format": {"type": "json_schema", "schema": {}},
          "output_config": {"format": {"type": "json_schema", "schema": {}}})",
       "output_config.format"},
      {R"("context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]})",
       "context_management.edits.0.type"},
      {R"("context_management": {"edits": [5]})", "context_management.edits.0.type"},
      {R"("context_management": {"edits": {"a": 1}})", "context_management.edits"},
  });
}

TEST(MessagesRequestTest, ATextHasAForm) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"z": 1, "a": 2}}})",
       "output_config.format.schema"},
      {R"("output_format": {"type": "json_schema", "schema": {"z": 1, "a": 2}})", "output_format.schema"}};
  for (const auto& [fields, param] : cases) {
    const TextFormat format = MustParseMessages(MessagesBody(fields)).sampling.format;
    EXPECT_EQ(format.kind, TextFormat::Kind::kJsonSchema) << fields;
    EXPECT_EQ(format.schema.dump(), R"({"z":1,"a":2})");
    EXPECT_EQ(format.param, param);
    EXPECT_TRUE(format.strict);
  }
  EXPECT_EQ(MustParseMessages(MessagesBody(R"("output_config": {"format": null})")).sampling.format.kind,
            TextFormat::Kind::kText);
}

TEST(MessagesRequestTest, WhoeverAsksForACacheIsToldOfIt) {
  for (const char* fields :
       {R"("cache_control": {"type": "ephemeral"})",
        R"("system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}])",
        R"("tools": [{"name": "a", "input_schema": {}, "cache_control": {}}])"}) {
    EXPECT_TRUE(MustParseMessages(MessagesBody(fields)).tells_cached) << fields;
  }
  EXPECT_TRUE(
      MustParseMessages(
          MessagesWith(
              R"([{"role": "user", "content": [{"type": "text", "text": "s", "cache_control": {}}]}])"))
          .tells_cached);
  EXPECT_FALSE(MustParseMessages(MessagesBody(R"("cache_control": null)")).tells_cached);
}

}  // namespace
}  // namespace quire::gateway
