// What an answer is held to, as the engine is told; that the engine lets come what it should is seen end to
// end (tests/e2e/test_structured.py).
#include "gateway/api/pipeline/answer_grammar.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "gateway/generation/tool_call_split.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/regex.h"
#include "gateway/structured/string_automaton.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ToolRules Tools(ToolUse use, std::initializer_list<const char*> names = {"a", "b"}) {
  ToolRules rules;
  rules.use = use;
  for (const char* name : names) {
    rules.tools.push_back(
        {.name = name, .declaration = {}, .parameters = {{"type", "object"}}, .strict = {}});
  }
  return rules;
}

TextFormat Json() {
  TextFormat format;
  format.kind = TextFormat::Kind::kJsonObject;
  return format;
}

// The format of the tag; null: any text will do.
ordered_json Made(const ToolRules& tools, const TextFormat& format, ToolForm form = ToolForm::kHermes,
                  bool behind_reasoning = false) {
  auto grammar = AnswerGrammar({tools, form, format, behind_reasoning});
  EXPECT_FALSE(std::holds_alternative<http::ApiError>(grammar)) << std::get<http::ApiError>(grammar).message;
  const auto& source = std::get<std::optional<std::string>>(grammar);
  if (!source) return nullptr;
  const ordered_json tag = ordered_json::parse(*source);
  EXPECT_EQ(tag["type"], "structural_tag");
  return tag["format"];
}

http::ApiError Refused(const ToolRules& tools, const TextFormat& format) {
  auto grammar = AnswerGrammar({tools, ToolForm::kHermes, format, false});
  EXPECT_TRUE(std::holds_alternative<http::ApiError>(grammar));
  return std::holds_alternative<http::ApiError>(grammar) ? std::get<http::ApiError>(grammar)
                                                         : http::ApiError{};
}

TEST(AnswerGrammar, AnyTextWhereNothingIsAskedFor) {
  EXPECT_TRUE(Made({}, {}).is_null());
  EXPECT_TRUE(Made(Tools(ToolUse::kNone), {}).is_null());
  EXPECT_TRUE(Made({}, {}, ToolForm::kHermes, /*behind_reasoning=*/true).is_null());
}

TEST(AnswerGrammar, ToolsAsTheModelLikes) {
  const ordered_json format = Made(Tools(ToolUse::kAuto), {});
  EXPECT_EQ(format["type"], "triggered_tags");
  EXPECT_EQ(format["triggers"], ordered_json({"<tool_call>"}));
  EXPECT_EQ(format["stop_after_first"], false);
  ASSERT_EQ(format["tags"].size(), 1u);
  EXPECT_EQ(format["tags"][0]["begin"], "<tool_call>\n{\"name\": ");
  EXPECT_THAT(format["tags"][0]["content"]["grammar"].get<std::string>(),
              AllOf(HasSubstr(R"("\"a\", \"arguments\": ")"), HasSubstr(R"("\"b\", \"arguments\": ")")));
  EXPECT_EQ(format["tags"][0]["end"], "}\n</tool_call>");
}

TEST(AnswerGrammar, ToolsThatMustBeCalled) {
  ToolRules rules = Tools(ToolUse::kRequired);
  rules.parallel = false;
  ordered_json format = Made(rules, {});
  EXPECT_EQ(format["type"], "tags_with_separator");
  EXPECT_EQ(format["at_least_one"], true);
  EXPECT_EQ(format["stop_after_first"], true);
  EXPECT_EQ(format["tags"].size(), 1u);
  rules.only = "b";
  format = Made(rules, Json());
  ASSERT_EQ(format["tags"].size(), 1u) << "text of a form is no call";
  EXPECT_THAT(format["tags"][0]["content"]["grammar"].get<std::string>(),
              AllOf(HasSubstr(R"("\"b\", )"), Not(HasSubstr(R"("\"a\", )"))));
}

TEST(AnswerGrammar, EitherTextOfAFormOrCalls) {
  const ordered_json format = Made(Tools(ToolUse::kAuto), Json());
  EXPECT_EQ(format["type"], "or");
  EXPECT_EQ(format["elements"][0]["type"], "grammar");
  EXPECT_EQ(format["elements"][1]["type"], "tags_with_separator");
}

TEST(AnswerGrammar, NewlinesBehindReasoningAreNoneOfIt) {
  const ordered_json format = Made({}, Json(), ToolForm::kNone, /*behind_reasoning=*/true);
  EXPECT_EQ(format["type"], "sequence");
  EXPECT_EQ(format["elements"].size(), 2u);
}

TEST(AnswerGrammar, ACallOfLlama3IsTheWholeAnswer) {
  const ordered_json format = Made(Tools(ToolUse::kAuto), {}, ToolForm::kLlama3);
  EXPECT_EQ(format["type"], "or");
  EXPECT_EQ(format["elements"][0]["separator"], "; ");
  EXPECT_EQ(format["elements"][0]["tags"][0]["begin"], "{\"name\": ");
}

// By the engine's side, without the engine.
bool IsNoCall(const StringAutomaton& no_call, const std::string& text) {
  return no_call.Takes(CodePointsOf(text));
}

bool IsSaidAsACall(const std::string& text) {
  ToolCallSplit split({.form = ToolForm::kLlama3, .names = {"f"}});
  auto parts = split.Push(text);
  for (auto& part : split.Finish(/*cut=*/true)) parts.push_back(std::move(part));
  for (const auto& part : parts) {
    if (part.kind == PieceKind::kToolCall) return true;
  }
  return false;
}

// Else a blank before its brace would be enough for a call that no grammar held to its schema.
TEST(AnswerGrammar, WhatIsNoCallOfLlama3IsNeverSaidAsOne) {
  const auto regex = ParseRegex(kNoCallRegex, RegexUse::kWhole);
  ASSERT_TRUE(regex.ok()) << regex.status();
  const auto no_call = StringAutomaton::OfRegex(*regex);
  ASSERT_TRUE(no_call.ok()) << no_call.status();
  GrammarRules rules;
  const std::string root = no_call->Rule(TextPlace::kPlain, rules);
  const ordered_json format = Made(Tools(ToolUse::kAuto), {}, ToolForm::kLlama3);
  EXPECT_EQ(format["elements"][1]["grammar"], rules.Ebnf(root));
  const std::string pieces[] = {"",
                                " ",
                                "\n",
                                "\t\r",
                                "x",
                                "\xC2\xA0",
                                "{",
                                "}",
                                "<",
                                "<|",
                                "<b>",
                                "<|python_tag|>",
                                "; ",
                                "\xF0\x9F\x98\x80",
                                "\x0B",
                                R"({"name": "f", "parameters": {"city": 7}})",
                                R"({"name": "f"})"};
  int calls = 0;
  for (const std::string& a : pieces) {
    for (const std::string& b : pieces) {
      for (const std::string& c : pieces) {
        for (const std::string& d : pieces) {
          const std::string text = a + b + c + d;
          if (!IsSaidAsACall(text)) continue;
          ++calls;
          ASSERT_FALSE(IsNoCall(*no_call, text)) << text;
        }
      }
    }
  }
  EXPECT_GT(calls, 1000);
  for (const char* text : {"", " \n", "x", "The answer: {}", "<", "<b>{}", " <a", "\xC3\xA9 {\n}"}) {
    EXPECT_TRUE(IsNoCall(*no_call, text)) << text;
  }
}

TEST(AnswerGrammar, OneCallWhereTheTemplateTakesNoMore) {
  const ToolRules rules = Tools(ToolUse::kAuto);
  for (const ToolForm form : {ToolForm::kHermes, ToolForm::kLlama3}) {
    const auto grammar = AnswerGrammar({rules, form, {}, false, /*one_call=*/true});
    const std::string source = std::get<std::optional<std::string>>(grammar).value();
    EXPECT_THAT(source, HasSubstr(R"("stop_after_first":true)"));
  }
}

TEST(AnswerGrammar, AToolSaysHowStrictItIs) {
  const ordered_json not_enforceable = {{"type", "object"},
                                        {"properties", {{"x", {{"not", ordered_json::object()}}}}}};
  ToolRules rules = Tools(ToolUse::kAuto, {"a"});
  rules.tools[0].parameters = not_enforceable;
  EXPECT_FALSE(Made(rules, {}).is_null()) << "what can't be enforced is let be";
  rules.tools[0].strict = true;
  const http::ApiError error = Refused(rules, {});
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "tools.0.function.parameters.properties.x.not");
  rules.tools[0].strict = false;
  rules.tools[0].parameters = {{"type", "banana"}};
  EXPECT_FALSE(Made(rules, {}).is_null()) << "any object";
}

TEST(AnswerGrammar, NamesWhatItCannotHoldTo) {
  TextFormat format;
  format.kind = TextFormat::Kind::kJsonSchema;
  format.schema = {{"type", "array"}, {"items", {{"$ref", "#/$defs/x"}}}};
  format.param = "response_format.json_schema.schema";
  EXPECT_EQ(Refused({}, format).param, "response_format.json_schema.schema.items.$ref");
  format.kind = TextFormat::Kind::kRegex;
  format.source = "a(";
  format.param = "response_format.regex";
  const http::ApiError error = Refused({}, format);
  EXPECT_EQ(error.param, "response_format.regex");
  EXPECT_THAT(error.message, HasSubstr("a ( without its )"));
}

TEST(AnswerGrammar, ALargeNameDoesNotMakeALargeError) {
  TextFormat format;
  format.kind = TextFormat::Kind::kJsonSchema;
  format.schema = {{"properties", {{std::string(100'000, 'x') + "é", 7}}}};
  const http::ApiError error = Refused({}, format);
  EXPECT_LT(error.message.size(), 1000u);
}

}  // namespace
}  // namespace quire::gateway
