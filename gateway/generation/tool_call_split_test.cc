// What of an answer's text is text and what calls of tools, however it comes in pieces.
#include "gateway/generation/tool_call_split.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <utility>

namespace quire::gateway {
namespace {

using Calls = std::vector<std::pair<std::string, std::string>>;  // names and arguments

struct Told {
  std::string text;
  Calls calls;
  bool broke_off = false;
  uint32_t whole = 0;

  bool operator==(const Told&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Told& told) {
    out << '"' << told.text << '"';
    for (const auto& [name, arguments] : told.calls) out << " " << name << "(" << arguments << ")";
    return out << (told.broke_off ? " broke off " : " ") << told.whole;
  }
};

void Add(const std::vector<ToolCallSplit::Part>& parts, Told& told) {
  for (const ToolCallSplit::Part& part : parts) {
    if (part.kind == PieceKind::kContent) {
      EXPECT_FALSE(part.text.empty());
      told.text += part.text;
    } else if (!part.call.name.empty()) {
      EXPECT_EQ(part.call.index, told.calls.size()) << "0, 1, 2";
      EXPECT_EQ(part.text, "") << "the name comes first, and once";
      told.calls.emplace_back(part.call.name, "");
    } else {
      ASSERT_EQ(part.call.index + 1, told.calls.size());
      EXPECT_FALSE(part.text.empty());
      told.calls.back().second += part.text;
    }
  }
}

CallRules Hermes(bool parallel = true) {
  return {.form = ToolForm::kHermes, .names = {"f", "get_weather"}, .parallel = parallel};
}
CallRules Llama() { return {.form = ToolForm::kLlama3, .names = {"f", "get_weather"}}; }

Told Tell(const CallRules& rules, const std::vector<std::string>& pieces, bool cut = false) {
  ToolCallSplit split(rules);
  Told told;
  for (const std::string& piece : pieces) Add(split.Push(piece), told);
  Add(split.Finish(cut), told);
  told.broke_off = split.broke_off();
  told.whole = split.whole_calls();
  EXPECT_TRUE(split.Push("more").empty());
  return told;
}

std::vector<std::string> Bytes(const std::string& text) {
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  return bytes;
}

std::vector<std::string> Chunks(const std::string& text, std::mt19937& random) {
  std::vector<std::string> chunks;
  for (size_t at = 0; at < text.size();) {
    const size_t length = 1 + random() % 9;
    chunks.push_back(text.substr(at, length));
    at += length;
  }
  return chunks;
}

// Cut in two at every byte, into bytes, and at random: always the same.
void ExpectTold(const CallRules& rules, const std::string& text, const Told& wanted, bool cut = false) {
  EXPECT_EQ(Tell(rules, {text}, cut), wanted) << text;
  EXPECT_EQ(Tell(rules, Bytes(text), cut), wanted) << text;
  for (size_t at = 1; at < text.size(); ++at) {
    ASSERT_EQ(Tell(rules, {text.substr(0, at), text.substr(at)}, cut), wanted) << text << " at " << at;
  }
  std::mt19937 random(17);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Tell(rules, Chunks(text, random), cut), wanted) << text;
}

std::string Call(const std::string& name, const std::string& arguments) {
  return "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + arguments + "}\n</tool_call>";
}

TEST(ToolCallSplitTest, HermesCallsAndTheTextAroundThem) {
  const std::string one = Call("f", R"({"a": 1})");
  const Calls f = {{"f", R"({"a": 1})"}};
  const std::vector<std::pair<std::string, Told>> cases = {
      {"", {"", {}}},
      {"just text \n", {"just text \n", {}}},
      {"\n\n text", {"\n\n text", {}}},
      {one, {"", f, false, 1}},
      {"\n\n" + one + "\n", {"", f, false, 1}},
      {"Let me see. \n\n" + one, {"Let me see.", f, false, 1}},
      {one + "\n\nDone.\n", {"Done.\n", f, false, 1}},
      {"See.\n" + one + "\nDone.", {"See.\nDone.", f, false, 1}},
      {one + "\n" + Call("get_weather", "{}") + " " + one,
       {"", {f[0], {"get_weather", "{}"}, f[0]}, false, 3}},
      {one + one, {"", {f[0], f[0]}, false, 2}},
      {one + "<think> x", {"<think> x", f, false, 1}},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\": 1}}</tool_call>", {"", f, false, 1}},
      {"<tool_call> \t{ \"name\" : \"f\" ,\n\"arguments\" : {\"a\": 1} \n}\n </tool_call>",
       {"", f, false, 1}},
      {"<tool_call>\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n</tool_call>", {"", f, false, 1}},
      {"a < b <tool <tool_cal> </tool_call> <<tool_call",
       {"a < b <tool <tool_cal> </tool_call> <<tool_call", {}}},
      {"<<tool_call>" + one.substr(11), {"<", f, false, 1}},
  };
  for (const auto& [text, wanted] : cases) ExpectTold(Hermes(), text, wanted);
}

TEST(ToolCallSplitTest, NoArgumentsAreAnEmptyObject) {
  for (const char* head : {R"({"name": "f"})", R"({"name": "f", "arguments": null})", R"({"name": "f",
      "arguments": {}})",
                           R"({ "name":"f" })"}) {
    ExpectTold(Hermes(), std::string("<tool_call>\n") + head + "\n</tool_call>",
               {"", {{"f", "{}"}}, false, 1});
  }
}

TEST(ToolCallSplitTest, ArgumentsAreTheModelsOwnBytes) {
  for (const char* arguments :
       {R"({"a": "}\"</tool_call>{[\\", "b": [{"c": {}}, [], [[1, 2]]]})",
        R"({"\u2028": "\u00e9\ud83d\ude00"})", "{\"na\xC3\xAFve\": \"\xF0\x9F\x8E\x88\xE2\x80\xA8\"}",
        R"({"n": [0, -0, 1.5, -2e10, 3E-7, 0.25e+3, 10]})", "{ \"a\" :\n\ttrue , \"b\": false,\"c\":null }",
        R"({"a": "<tool_call>"})", R"({"": {"": ""}})"}) {
    ExpectTold(Hermes(), "ok\n" + Call("f", arguments), {"ok", {{"f", arguments}}, false, 1});
    EXPECT_TRUE(nlohmann::json::accept(arguments)) << arguments;
  }
}

// Nothing of it was said yet: it is text, as the model wrote it.
TEST(ToolCallSplitTest, WhatBeginsLikeACallAndIsNoneIsText) {
  const std::string good = Call("f", "{}");
  for (const std::string& bad :
       {std::string("<tool_call>"), std::string("<tool_call></tool_call>"), Call("unknown", "{}"),
        Call("", "{}"), Call("f", "[1]"), Call("f", "\"{}\""), Call("f", "1"),
        std::string("<tool_call>\nf(1)\n</tool_call>"),
        std::string("<tool_call>\n{\"arguments\": {}, \"name\": \"f\"}\n</tool_call>"),
        std::string("<tool_call>\n{\"name\": 1}\n</tool_call>"), std::string("<tool_call>{}</tool_call>"),
        std::string("<tool_call>\n{\"name\": \"f\", \"x\": {}}</tool_call>"),
        std::string("<tool_call>\n{\"name\": \"f\" \"arguments\": {}}</tool_call>"),
        std::string("<tool_call>\n{\"name\": \"f\", \"arguments\": nul}</tool_call>"),
        std::string("<tool_call>\n{\"name\": \"f\", \"argu"), std::string("<tool_call>\n{\"na"),
        std::string("<tool_call>\n{\"name\": \"f\n\"}"),
        "<tool_call>{\"name\":" + std::string(1500, ' ') + "\"f\", \"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": \"" + std::string(1500, 'x')}) {
    ExpectTold(Hermes(), "Text. " + bad, {"Text. " + bad, {}});
    ExpectTold(Hermes(), bad + "\n", {bad + "\n", {}});
    if (bad.ends_with("<tool_call>") || bad.ends_with("}</tool_call>")) {
      ExpectTold(Hermes(), bad + "\n" + good, {bad, {{"f", "{}"}}, false, 1});
    }
  }
}

// The head's bound is one of bytes, wherever they are cut.
TEST(ToolCallSplitTest, AHeadHasABound) {
  for (size_t spaces = 980; spaces < 1040; ++spaces) {
    const std::string text = "<tool_call>{\"name\":" + std::string(spaces, ' ') + "\"f\", \"arguments\": {}}";
    const Told whole = Tell(Hermes(), {text});
    EXPECT_EQ(whole, Tell(Hermes(), Bytes(text))) << spaces;
    EXPECT_EQ(whole.calls.empty(), spaces > 998) << spaces;
  }
}

TEST(ToolCallSplitTest, WhatIsMissingBehindTheArgumentsIsMissed) {
  const std::string head = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}";
  const Calls f = {{"f", "{}"}};
  for (const char* rest :
       {"", "}", "}\n", "}\n</tool", "}</tool_call>", "</tool_call>", "\n}\n</tool_call>\n"}) {
    ExpectTold(Hermes(), head + rest, {"", f, false, 1});
  }
  ExpectTold(Hermes(), head + "}\n" + Call("f", "{}"), {"", {f[0], f[0]}, false, 2});
  ExpectTold(Hermes(), head + "}}\n</tool_call>", {"}\n</tool_call>", f, false, 1});
  ExpectTold(Hermes(), head + ", \"id\": 1}", {", \"id\": 1}", f, false, 1});
  ExpectTold(Hermes(), head + "}</tool_bar>", {"</tool_bar>", f, false, 1});
}

TEST(ToolCallSplitTest, ACallBreaksOffWhereItsArgumentsAreNoJson) {
  const std::pair<const char*, const char*> cases[] = {{R"({"a": 1, })", R"({"a": 1, )"},
                                                       {R"({"a" 1})", R"({"a" )"},
                                                       {R"({a: 1})", "{"},
                                                       {R"({"a": tru })", R"({"a": tru)"},
                                                       {R"({"a": 01})", R"({"a": 0)"},
                                                       {R"({"a": [1}})", R"({"a": [1)"},
                                                       {R"({"a": "\x"})", R"({"a": "\)"},
                                                       {"{\"a\": \"\n\"}", "{\"a\": \""},
                                                       {R"({"a": -})", R"({"a": -)"},
                                                       {R"({"a": 1.})", R"({"a": 1.)"},
                                                       {R"({"a": 1e+})", R"({"a": 1e+)"},
                                                       {R"({"a": "\u12g4"})", R"({"a": "\u12)"},
                                                       {"{\"a\": 1</tool_call>", "{\"a\": 1"}};
  for (const auto& [arguments, said] : cases) {
    ExpectTold(Hermes(), "x\n" + Call("f", arguments), {"x", {{"f", said}}, true, 0});
  }
  ExpectTold(Hermes(), Call("f", "{}") + Call("f", "{]"), {"", {{"f", "{}"}, {"f", "{"}}, true, 1});
}

// Wherever max_tokens cuts it: a call that has begun is no text, and what came of it is said.
TEST(ToolCallSplitTest, ACallThatIsCutKeepsWhatCame) {
  const std::string text = "Hm.\n" + Call("get_weather", R"({"city": "Paris"})");
  const size_t tag = 4 + 11, name = text.find("weather\"") + 8;
  const size_t arguments = text.find("{\"city"), end = text.find("}}") + 1;
  for (size_t at = 0; at <= text.size(); ++at) {
    const Told told = Tell(Hermes(), Bytes(text.substr(0, at)), /*cut=*/true);
    if (at < tag) {
      EXPECT_EQ(told, (Told{text.substr(0, at), {}})) << "no tag, and perhaps never one";
    } else if (at < name) {
      EXPECT_EQ(told, (Told{"Hm.", {}, true, 0})) << at;
    } else {
      const std::string said =
          text.substr(std::min(at, arguments), std::min(at, end) - std::min(at, arguments));
      EXPECT_EQ(told, (Told{"Hm.", {{"get_weather", said}}, at < end, at < end ? 0u : 1u})) << at;
    }
    EXPECT_EQ(told, Tell(Hermes(), {text.substr(0, at)}, true));
  }
  // The model itself ended in their midst.
  ExpectTold(Hermes(), text.substr(0, end - 3), {"Hm.", {{"get_weather", R"({"city": "Pari)"}}, true, 0});
}

TEST(ToolCallSplitTest, WithoutParallelCallsNothingFollowsTheFirst) {
  ExpectTold(Hermes(false), "Hm. " + Call("f", "{}") + "\n" + Call("f", "{}"),
             {"Hm.", {{"f", "{}"}}, false, 1});
  ToolCallSplit split(Hermes(false));
  split.Push("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1");
  EXPECT_FALSE(split.over());
  split.Push("}");
  EXPECT_TRUE(split.over()) << "as soon as its arguments are whole";
}

TEST(ToolCallSplitTest, Llama3WritesCallsAsItsWholeAnswer) {
  const std::string f = R"({"name": "f", "parameters": {"a": "b"}})";
  const Calls one = {{"f", R"({"a": "b"})"}};
  const std::vector<std::pair<std::string, Told>> cases = {
      {"", {"", {}}},
      {"plain {\"name\": \"f\", \"parameters\": {}}", {"plain {\"name\": \"f\", \"parameters\": {}}", {}}},
      {f, {"", one, false, 1}},
      {"\n " + f + "\n", {"", one, false, 1}},
      {"<|python_tag|>" + f, {"", one, false, 1}},
      {R"({"name": "f", "arguments": {"a": "b"}})", {"", one, false, 1}},
      {f + "; " + f + " ;" + f, {"", {one[0], one[0], one[0]}, false, 3}},
      {f + " and " + f, {"and " + f, one, false, 1}},
      {f + "; and", {"; and", one, false, 1}},
      {R"({"name": "f"})", {"", {{"f", "{}"}}, false, 1}},
      {R"({"answer": "f", "parameters": {}} )", {R"({"answer": "f", "parameters": {}} )", {}}},
      {R"({"name": "Ada", "parameters": {}})", {R"({"name": "Ada", "parameters": {}})", {}}},
      {"<|python_tag|>print(1)\n", {"<|python_tag|>print(1)\n", {}}},
      {" <|python", {" <|python", {}}},
      {"<tool_call>" + f, {"<tool_call>" + f, {}}},
  };
  for (const auto& [text, wanted] : cases) ExpectTold(Llama(), text, wanted);
  ExpectTold(Llama(), R"({"name": "Ad)", {R"({"name": "Ad)", {}}, /*cut=*/true);
  ExpectTold(Llama(), R"({"name": "f", "para)", {"", {{"f", ""}}, true, 0}, /*cut=*/true);
}

TEST(ToolCallSplitTest, HoldsBackNoMoreThanMayBeMarkup) {
  ToolCallSplit split(Hermes());
  Told told;
  const auto after = [&](const char* text) {
    Add(split.Push(text), told);
    return told;
  };
  EXPECT_EQ(after("Hi there").text, "Hi there");
  EXPECT_EQ(after("\n<tool").text, "Hi there");
  EXPECT_EQ(after("s").text, "Hi there\n<tools");
  EXPECT_EQ(after("<tool_call>{\"name\": \"f\", \"arguments\": ").calls.size(), 0u);
  EXPECT_EQ(after("{").calls, (Calls{{"f", "{"}}));
  EXPECT_EQ(after("\"a\": \"").calls, (Calls{{"f", "{\"a\": \""}}));
}

// White space without end: each byte is looked at a few times, not as often as there are bytes.
TEST(ToolCallSplitTest, TakesLongWhiteSpaceAndLongArguments) {
  const size_t count = 1 << 17;
  const std::string spaces(count, '\n');
  Told told = Tell(Hermes(), Bytes("a" + spaces));
  EXPECT_EQ(told.text.size(), count + 1);
  told = Tell(Hermes(), Bytes(Call("f", "{\"a\": \"" + std::string(count, 'x') + "\"}") + spaces));
  EXPECT_EQ(told.text, "");
  EXPECT_EQ(told.calls[0].second.size(), count + 9);
  told = Tell(Hermes(), Bytes(Call("f", "{\"a\": " + std::string(count, '['))));
  EXPECT_TRUE(told.broke_off);
}

// Whatever a model writes: the same in every chunking, no byte of text from nowhere, whole calls are objects.
TEST(ToolCallSplitTest, AnyTextIsToldAlikeHoweverItComes) {
  const char* const words[] = {"<tool_call>",
                               "</tool_call>",
                               "{\"name\": \"f\"",
                               ", \"arguments\": ",
                               "{\"a\": 1}",
                               "{",
                               "}",
                               "\n",
                               " ",
                               "text",
                               "\"",
                               "\\",
                               ":",
                               ",",
                               "null",
                               "; ",
                               "<|python_tag|>",
                               "[",
                               "]",
                               "{\"name\": \"f\", \"parameters\": {}}",
                               "1",
                               "\xC3\xA9",
                               "<tool"};
  std::mt19937 random(29);
  for (int i = 0; i < 5000; ++i) {
    std::string text = random() % 2 ? "<tool_call>\n{\"name\": \"f\", \"arguments\": " : "";
    for (size_t n = random() % 12; n > 0; --n) text += words[random() % std::size(words)];
    CallRules rules = random() % 3 ? Hermes(random() % 4 > 0) : Llama();
    const bool cut = random() % 2;
    const Told told = Tell(rules, {text}, cut);
    ASSERT_EQ(told, Tell(rules, Bytes(text), cut)) << text;
    ASSERT_EQ(told, Tell(rules, Chunks(text, random), cut)) << text;
    for (size_t call = 0; call < told.calls.size(); ++call) {
      const auto arguments = nlohmann::json::parse(told.calls[call].second, nullptr, false);
      ASSERT_EQ(arguments.is_object(), call < told.whole) << text;
      ASSERT_TRUE(told.calls[call].second == "{}" || text.find(told.calls[call].second) != std::string::npos);
    }
    ASSERT_LE(told.calls.size(), told.whole + told.broke_off);
  }
}

// What it takes is to come back in a request, which has a bound of its own.
TEST(ToolCallSplitTest, ArgumentsThatNestTooDeeplyBreakOff) {
  const auto told = [](size_t levels) {
    const std::string open(levels - 1, '['), close(levels - 1, ']');
    return Tell(Hermes(), {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": " + open + close +
                           "}}\n</tool_call>"});
  };
  EXPECT_EQ(told(JsonObjectScan::kMaxLevels).whole, 1u);
  EXPECT_TRUE(told(JsonObjectScan::kMaxLevels + 1).broke_off);
}

}  // namespace
}  // namespace quire::gateway
