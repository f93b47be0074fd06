// Calls of tools and their results in a conversation: what they become, and which are refused.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/test_chat_bodies.h"

namespace quire::gateway {
namespace {

std::string Call(const std::string& id, const std::string& arguments, const std::string& name = "f") {
  return absl::StrCat(R"({"id": ")", id, R"(", "type": "function", "function": {"name": ")", name,
                      R"(", "arguments": )", arguments, "}}");
}
std::string Calls(const std::string& calls, const std::string& content = R"("content": null)") {
  return absl::StrCat(R"({"role": "assistant", )", content, R"(, "tool_calls": [)", calls, "]}");
}
std::string Result(const std::string& id, const std::string& content = "\"r\"") {
  return absl::StrCat(R"({"role": "tool", "tool_call_id": ")", id, R"(", "content": )", content, "}");
}
// Behind a user's question.
std::string Conversation(const std::vector<std::string>& messages) {
  std::string all = R"({"role": "user", "content": "q"})";
  for (const std::string& message : messages) absl::StrAppend(&all, ", ", message);
  return WithMessages(absl::StrCat("[", all, "]"));
}

TEST(TurnCallsTest, ReadsCallsAndTheirResults) {
  const std::string calls =
      absl::StrCat(Call("a", R"("{\"z\": 1, \"b\": [{}], \"\\u2028\": \"<tool_call>\"}")"), ", ",
                   Call("b", R"({"y": 2, "x": null})", "g"));
  const ChatRequest request = MustParse(Conversation(
      {Calls(calls, R"("content": "see")"), Result("b", R"([{"type": "text", "text": "2"}, {"type": "text",
      "text": "3"}])"),
       Result("a")}));
  const std::vector<ChatTurn>& turns = request.prompt.turns;
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns[1].content, "see");
  ASSERT_EQ(turns[1].tool_calls.size(), 2u);
  EXPECT_EQ(turns[1].tool_calls[0].id, "a");
  EXPECT_EQ(turns[1].tool_calls[0].name, "f");
  EXPECT_EQ(turns[1].tool_calls[0].arguments.dump(), "{\"z\":1,\"b\":[{}],\"\xE2\x80\xA8\":\"<tool_call>\"}");
  EXPECT_EQ(turns[1].tool_calls[1].arguments.dump(), R"({"y":2,"x":null})");
  EXPECT_EQ(turns[2].role, "tool") << "in the order of the calls";
  EXPECT_EQ(turns[2].tool_call_id, "a");
  EXPECT_EQ(turns[2].name, "f");
  EXPECT_EQ(turns[2].content, "r");
  EXPECT_EQ(turns[3].tool_call_id, "b");
  EXPECT_EQ(turns[3].name, "g");
  EXPECT_EQ(turns[3].content, "23");
  EXPECT_FALSE(request.prompt.ContinuesAssistant());
}

TEST(TurnCallsTest, NoArgumentsAndNoContentAreEmpty) {
  for (const char* content : {R"("content": null)", R"("content": "")", R"("content": [])", R"("x": 1)"}) {
    for (const char* arguments : {"null", R"("")", "{}", R"("{}")", R"(" {} ")"}) {
      const auto turns =
          MustParse(Conversation({Calls(Call("a", arguments), content), Result("a")})).prompt.turns;
      ASSERT_EQ(turns.size(), 3u);
      EXPECT_EQ(turns[1].content, "");
      EXPECT_EQ(turns[1].tool_calls.at(0).arguments.dump(), "{}");
    }
  }
}

TEST(TurnCallsTest, ResultsKeepToTheirAnswer) {
  const std::string two = Calls(Call("a", "{}") + ", " + Call("b", "{}", "g"));
  const auto turns =
      MustParse(Conversation({two, Result("b", "\"1\""), Result("a", "\"2\""), two, Result("b", "\"3\""),
                              Result("a", "\"4\""), R"({"role": "user", "content": "and"})"}))
          .prompt.turns;
  std::string contents;
  for (const ChatTurn& turn : turns) contents += turn.content;
  EXPECT_EQ(contents, "q2143and");
}

// A tool's grammar may let a model write one: it must be able to come back.
TEST(TurnCallsTest, OfAKeyGivenTwiceTheLastValueCounts) {
  const auto turns =
      MustParse(
          Conversation({Calls(Call("a", R"("{\"a\": {\"c\": 1}, \"b\": 2, \"a\": [3]}")")), Result("a")}))
          .prompt.turns;
  EXPECT_EQ(turns[1].tool_calls.at(0).arguments.dump(), R"({"a":[3],"b":2})");
}

TEST(TurnCallsTest, AnIdMayComeAgainInALaterMessage) {
  const std::string call = Calls(Call("call_0", "{}"));
  MustParse(
      Conversation({call, Result("call_0"), call, Result("call_0"), R"({"role": "user", "content": ""})"}));
}

TEST(TurnCallsTest, RefusesWithThePlace) {
  const std::string one = Calls(Call("a", "{}")), user = R"({"role": "user", "content": "and"})";
  const std::string first = "messages.1.tool_calls.0";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{Calls("1"), user}, first},
      {{Calls("{}"), user}, first + ".id"},
      {{Calls(R"({"id": "a"})"), user}, first + ".function"},
      {{Calls(R"({"id": "a", "type": "custom", "custom": {}})"), user}, first + ".type"},
      {{Calls(R"({"id": "a", "function": {}})"), user}, first + ".function.name"},
      {{Calls(Call(std::string(300, 'i'), "{}")), user}, first + ".id"},
      {{Calls(Call("a", "{}", "f\\\"x")), user}, first + ".function.name"},
      {{Calls(Call("a", "1")), user}, first + ".function.arguments"},
      {{Calls(Call("a", "[1]")), user}, first + ".function.arguments"},
      {{Calls(Call("a", R"("[]")")), user}, first + ".function.arguments"},
      {{Calls(Call("a", R"("{")")), user}, first + ".function.arguments"},
      {{Calls(Call("a", R"("{} x")")), user}, first + ".function.arguments"},
      {{Calls(Call("a", absl::StrCat("\"{\\\"a\\\": ", std::string(100, '['), "\""))), user},
       first + ".function.arguments"},
      {{Calls(Call("a", "{}") + ", " + Call("a", "{}")), Result("a")}, "messages.1.tool_calls.1.id"},
      {{one}, "messages.1.tool_calls"},
      {{one, user}, first},
      {{one, one, Result("a")}, first},
      {{Calls(Call("b", "{}") + ", " + Call("a", "{}")), Result("b")}, "messages.1.tool_calls.1"},
      {{one, Result("b")}, "messages.2.tool_call_id"},
      {{one, Result("a"), Result("a")}, "messages.3.tool_call_id"},
      {{one, Result("a"), user, Result("a")}, "messages.4.tool_call_id"},
      {{Result("a")}, "messages.1.tool_call_id"},
      {{one, R"({"role": "tool", "content": "x"})"}, "messages.2.tool_call_id"},
      {{one, R"({"role": "tool", "tool_call_id": "a"})"}, "messages.2.content"},
      {{one, Result("a", R"([{"type": "image_url"}])")}, "messages.2.content.0.type"},
      {{one, R"({"role": "tool", "tool_call_id": "a", "content": "x", "tool_calls": [{}]})"},
       "messages.2.tool_calls"},
      {{R"({"role": "user", "content": "x", "tool_calls": [{}]})"}, "messages.1.tool_calls"},
      {{R"({"role": "user", "content": "x", "tool_call_id": "a"})"}, "messages.1.tool_call_id"},
      {{R"({"role": "assistant", "content": "x", "tool_calls": {"id": "a"}})", user},
       "messages.1.tool_calls"},
  };
  for (const auto& [messages, param] : cases) {
    const std::string body = Conversation(messages);
    const http::ApiError error = MustRefuse(body);
    EXPECT_EQ(error.status, 422) << body.substr(0, 300);
    EXPECT_EQ(error.param, param) << body.substr(0, 300);
  }
}

TEST(TurnCallsTest, BoundsThem) {
  std::string calls;
  std::vector<std::string> messages = {""};
  for (int i = 0; i < 129; ++i) {
    absl::StrAppend(&calls, i > 0 ? ", " : "", Call(absl::StrCat("c", i), "{}"));
    messages.push_back(Result(absl::StrCat("c", i)));
    messages[0] = Calls(calls);
    if (i == 127) MustParse(Conversation(messages));
  }
  EXPECT_EQ(MustRefuse(Conversation(messages)).param, "messages.1.tool_calls");
  const std::string large = absl::StrCat(R"("{\"a\": \")", std::string(3 << 20, 'x'), R"(\"}")");
  const std::string once = Calls(Call("a", large));
  MustParse(Conversation({once, Result("a")}));
  EXPECT_EQ(MustRefuse(Conversation({once, Result("a"), once, Result("a")})).param,
            "messages.3.tool_calls.0.function.arguments");
}

}  // namespace
}  // namespace quire::gateway
