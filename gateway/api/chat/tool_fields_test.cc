// "tools" and what goes with them: what they become, and which are refused.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/test_chat_bodies.h"
#include "gateway/api/chat/tool_fields.h"

namespace quire::gateway {
namespace {

constexpr char kTools[] = R"("tools": [{"type": "function", "function": {"parameters": {"type": "object",
    "z": 1, "a": {"y": null, "b": []}}, "name": "get_weather", "strict": false, "description": "d"}},
    {"function": {"name": "no-ARGS_1", "description": null, "parameters": null, "cache_control": {}}}])";

ToolRules ToolsOf(const std::string& fields) { return MustParse(Body(fields)).prompt.tools; }

std::string With(const std::string& fields) { return absl::StrCat(kTools, ", ", fields); }

TEST(ToolFieldsTest, KeepsWhatTheModelIsToldInTheClientsOrder) {
  const ToolRules rules = ToolsOf(kTools);
  ASSERT_EQ(rules.tools.size(), 2u);
  EXPECT_EQ(rules.use, ToolUse::kAuto);
  EXPECT_TRUE(rules.parallel);
  EXPECT_EQ(rules.only, "");
  EXPECT_EQ(rules.tools[0].name, "get_weather");
  EXPECT_EQ(rules.tools[0].strict, false);
  EXPECT_EQ(rules.tools[0].parameters.dump(), R"({"type":"object","z":1,"a":{"y":null,"b":[]}})");
  EXPECT_EQ(rules.tools[0].declaration.dump(),
            R"({"type":"function","function":{"parameters":{"type":"object","z":1,"a":{"y":null,"b":[]}},)"
            R"("name":"get_weather","description":"d"}})");
  EXPECT_EQ(rules.tools[1].strict, std::nullopt);
  EXPECT_EQ(rules.tools[1].parameters.dump(), "{}");
  EXPECT_EQ(rules.tools[1].declaration.dump(), R"({"type":"function","function":{"name":"no-ARGS_1"}})");
}

TEST(ToolFieldsTest, ReadsTheChoice) {
  EXPECT_EQ(ToolsOf(With(R"("tool_choice": null)")).use, ToolUse::kAuto);
  EXPECT_EQ(ToolsOf(With(R"("tool_choice": "auto")")).use, ToolUse::kAuto);
  EXPECT_EQ(ToolsOf(With(R"("tool_choice": "none")")).use, ToolUse::kNone);
  EXPECT_EQ(ToolsOf(With(R"("tool_choice": "required")")).use, ToolUse::kRequired);
  const ToolRules named =
      ToolsOf(With(R"("tool_choice": {"type": "function", "function": {"name": "no-ARGS_1"}})"));
  EXPECT_EQ(named.use, ToolUse::kRequired);
  EXPECT_EQ(named.only, "no-ARGS_1");
  EXPECT_FALSE(ToolsOf(With(R"("parallel_tool_calls": false)")).parallel);
  for (const char* none : {"", R"("tools": [])", R"("tools": null, "tool_choice": "auto")",
                           R"("tools": [], "tool_choice": "none", "parallel_tool_calls": true)"}) {
    EXPECT_TRUE(ToolsOf(none).tools.empty());
  }
}

TEST(ToolFieldsTest, RefusesWithThePlace) {
  const std::string named = R"("tool_choice": {"type": "function", "function": )";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("tools": {})", "tools"},
      {R"("tools": "x")", "tools"},
      {R"("tools": [1])", "tools.0"},
      {R"("tools": [null])", "tools.0"},
      {R"("tools": [{"type": "function"}])", "tools.0.function"},
      {R"("tools": [{"type": "web_search"}])", "tools.0.type"},
      {R"("tools": [{"type": "custom", "custom": {"name": "f"}}])", "tools.0.type"},
      {R"("tools": [{"type": 1, "function": {"name": "f"}}])", "tools.0.type"},
      {R"("tools": [{"function": {}}])", "tools.0.function.name"},
      {R"("tools": [{"function": {"name": ""}}])", "tools.0.function.name"},
      {R"("tools": [{"function": {"name": "a b"}}])", "tools.0.function.name"},
      {R"("tools": [{"function": {"name": "n\u00e9"}}])", "tools.0.function.name"},
      {R"("tools": [{"function": {"name": "a\u0000"}}])", "tools.0.function.name"},
      {absl::StrCat(R"("tools": [{"function": {"name": ")", std::string(65, 'a'), R"("}}])"),
       "tools.0.function.name"},
      {R"("tools": [{"function": {"name": "a"}}, {"function": {"name": "a"}}])", "tools.1.function.name"},
      {R"("tools": [{"function": {"name": "a", "description": 1}}])", "tools.0.function.description"},
      {absl::StrCat(R"("tools": [{"function": {"name": "a", "description": ")", std::string(70'000, 'd'),
                    R"("}}])"),
       "tools.0.function.description"},
      {R"("tools": [{"function": {"name": "a", "parameters": []}}])", "tools.0.function.parameters"},
      {R"("tools": [{"function": {"name": "a", "parameters": "{}"}}])", "tools.0.function.parameters"},
      {absl::StrCat(R"("tools": [{"function": {"name": "a", "parameters": {"x": ")",
                    std::string(300'000, 'p'), R"("}}}])"),
       "tools.0.function.parameters"},
      {R"("tools": [{"function": {"name": "a", "strict": "yes"}}])", "tools.0.function.strict"},
      {With(R"("tool_choice": "any")"), "tool_choice"},
      {With(R"("tool_choice": 1)"), "tool_choice"},
      {With(R"("tool_choice": {})"), "tool_choice.type"},
      {With(R"("tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}})"),
       "tool_choice.type"},
      {With(R"("tool_choice": {"type": "function"})"), "tool_choice.function"},
      {With(named + "{}}"), "tool_choice.function.name"},
      {With(named + R"({"name": "other"}})"), "tool_choice.function.name"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tools": [], "tool_choice": {"type": "function", "function": {"name": "f"}})", "tool_choice"},
      {With(R"("parallel_tool_calls": 1)"), "parallel_tool_calls"},
  };
  for (const auto& [fields, param] : cases) {
    const http::ApiError error = MustRefuse(Body(fields));
    EXPECT_EQ(error.status, 422) << fields.substr(0, 150);
    EXPECT_EQ(error.param, param) << fields.substr(0, 150);
  }
}

TEST(ToolFieldsTest, BoundsThemAll) {
  const auto many = [](size_t count, const std::string& parameters) {
    std::string tools;
    for (size_t i = 0; i < count; ++i) {
      absl::StrAppend(&tools, i > 0 ? "," : "", R"({"function": {"name": "f)", i, R"(", "parameters": )",
                      parameters, "}}");
    }
    return absl::StrCat("\"tools\": [", tools, "]");
  };
  EXPECT_EQ(ToolsOf(many(kMaxTools, "{}")).tools.size(), kMaxTools);
  EXPECT_EQ(MustRefuse(Body(many(kMaxTools + 1, "{}"))).param, "tools");
  const std::string large = absl::StrCat(R"({"x": ")", std::string(200'000, 'p'), "\"}");
  MustParse(Body(many(5, large)));
  EXPECT_EQ(MustRefuse(Body(many(6, large))).param, "tools.5.function.parameters");
}

}  // namespace
}  // namespace quire::gateway
