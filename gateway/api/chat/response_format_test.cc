#include "gateway/api/chat/response_format.h"

#include <gtest/gtest.h>

#include "gateway/api/chat/test_chat_bodies.h"

namespace quire::gateway {
namespace {

using Kind = TextFormat::Kind;

TextFormat FormatOf(const std::string& response_format) {
  return MustParse(Body("\"response_format\": " + response_format)).sampling.format;
}

TEST(ResponseFormat, SaysWhatTextIsWanted) {
  EXPECT_EQ(FormatOf("null").kind, Kind::kText);
  EXPECT_EQ(FormatOf(R"({"type": "text"})").kind, Kind::kText);
  EXPECT_EQ(FormatOf(R"({"type": "json_object"})").kind, Kind::kJsonObject);
  const TextFormat schema =
      FormatOf(R"({"type": "json_schema", "json_schema": {"name": "n", "schema": {"z": 1, "a": 2}}})");
  EXPECT_EQ(schema.kind, Kind::kJsonSchema);
  EXPECT_EQ(schema.schema.dump(), R"({"z":1,"a":2})") << "in its own order";
  EXPECT_TRUE(schema.strict);
  EXPECT_EQ(schema.param, "response_format.json_schema.schema");
  EXPECT_FALSE(FormatOf(R"({"type": "json_schema", "json_schema": {"strict": false, "schema": {}}})").strict);
  const TextFormat regex = FormatOf(R"({"type": "regex", "regex": "a+"})");
  EXPECT_EQ(regex.kind, Kind::kRegex);
  EXPECT_EQ(regex.source, "a+");
  EXPECT_EQ(FormatOf(R"({"type": "regex", "pattern": "a+"})").param, "response_format.pattern");
  EXPECT_EQ(FormatOf(R"({"type": "grammar", "grammar": "root ::= \"a\""})").kind, Kind::kEbnf);
}

TEST(ResponseFormat, RefusesOthersByName) {
  const std::pair<const char*, const char*> refused[] = {
      {R"("json_object")", "response_format"},
      {"[]", "response_format"},
      {"{}", "response_format.type"},
      {R"({"type": "yaml"})", "response_format.type"},
      {R"({"type": 5})", "response_format.type"},
      {R"({"type": "json_schema"})", "response_format.json_schema"},
      {R"({"type": "json_schema", "json_schema": {}})", "response_format.json_schema.schema"},
      {R"({"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}})",
       "response_format.json_schema.strict"},
      {R"({"type": "regex"})", "response_format.regex"},
      {R"({"type": "regex", "regex": ""})", "response_format.regex"},
      {R"({"type": "grammar", "grammar": 5})", "response_format.grammar"}};
  for (const auto& [format, param] : refused) {
    const http::ApiError error = MustRefuse(Body(std::string("\"response_format\": ") + format));
    EXPECT_EQ(error.param, param) << format;
    EXPECT_EQ(error.status, 422) << format;
  }
}

TEST(ReasoningFields, SayABudget) {
  EXPECT_EQ(MustParse(Body("")).sampling.think_budget, std::nullopt);
  EXPECT_EQ(MustParse(Body(R"("reasoning": {"max_tokens": 100})")).sampling.think_budget, 100u);
  EXPECT_EQ(MustParse(Body(R"("reasoning": {"max_tokens": 100})")).prompt.reasons, true);
  EXPECT_EQ(MustParse(Body(R"("reasoning": {"max_tokens": 100, "enabled": false})")).prompt.reasons, false);
  EXPECT_EQ(MustParse(Body(R"("reasoning": {"max_tokens": 0})")).sampling.think_budget, 0u);
  EXPECT_EQ(MustParse(Body(R"("reasoning_effort": "low")")).sampling.think_budget, 2048u);
  EXPECT_EQ(MustParse(Body(R"("reasoning_effort": "high")")).sampling.think_budget, std::nullopt);
  EXPECT_EQ(MustParse(Body(R"("reasoning": {"effort": "low", "max_tokens": 7})")).sampling.think_budget, 7u)
      << "the number is more exact than the word";
  EXPECT_EQ(MustRefuse(Body(R"("reasoning": {"max_tokens": -1})")).param, "reasoning.max_tokens");
}

}  // namespace
}  // namespace quire::gateway
