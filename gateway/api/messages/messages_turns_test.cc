// The conversation of a Messages request: what its blocks come to as turns, and each refusal's path.
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/test_messages_bodies.h"

namespace quire::gateway {
namespace {

std::vector<ChatTurn> Turns(const std::string& messages) {
  return MustParseMessages(MessagesWith(messages)).prompt.turns;
}

// role:content of each turn.
std::vector<std::string> Said(const std::vector<ChatTurn>& turns) {
  std::vector<std::string> said;
  for (const ChatTurn& turn : turns) said.push_back(turn.role + ":" + turn.content);
  return said;
}

using Strings = std::vector<std::string>;

TEST(MessagesTurnsTest, TextIsAStringOrBlocks) {
  EXPECT_EQ(Said(Turns(R"([{"role": "user", "content": "a"}])")), Strings{"user:a"});
  EXPECT_EQ(Said(Turns(R"([{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}},
                                                        {"type": "text", "text": "b"}]}])")),
            Strings{"user:a\nb"});
  EXPECT_EQ(Said(Turns(R"([{"role": "user", "content": []}])")), Strings{"user:"});
  EXPECT_EQ(Said(Turns(R"([{"role": "user", "content": "a"}, {"role": "system", "content": "s"}])")),
            (Strings{"user:a", "system:s"}));
}

TEST(MessagesTurnsTest, TheSystemPromptComesFirst) {
  for (const char* system :
       {R"("a\nb")", R"([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])"}) {
    const auto request = MustParseMessages(MessagesBody(absl::StrCat("\"system\": ", system)));
    EXPECT_EQ(Said(request.prompt.turns), (Strings{"system:a\nb", "user:hi"}));
  }
  EXPECT_EQ(Said(MustParseMessages(MessagesBody("\"system\": \"\"")).prompt.turns), Strings{"user:hi"});
  EXPECT_EQ(Said(MustParseMessages(MessagesBody("\"system\": []")).prompt.turns), Strings{"user:hi"});
}

TEST(MessagesTurnsTest, MessagesOfOneRoleAreOneTurn) {
  EXPECT_EQ(Said(Turns(R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b"},
                           {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"}])")),
            (Strings{"user:a\nb", "assistant:cd"}));
}

TEST(MessagesTurnsTest, ThinkingIsNoPartOfHistoryButOfWhatIsContinued) {
  constexpr char kAnswer[] =
      R"({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"},
      {"type": "redacted_thinking", "data": "y"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})";
  const std::string user = R"({"role": "user", "content": "q"})";
  std::vector<ChatTurn> turns = Turns(absl::StrCat("[", user, ",", kAnswer, ",", user, "]"));
  EXPECT_EQ(Said(turns), (Strings{"user:q", "assistant:ab", "user:q"})) << "an answer's text has no breaks";
  EXPECT_EQ(turns[1].reasoning, "");
  turns = Turns(absl::StrCat("[", user, ",", kAnswer, "]"));
  EXPECT_EQ(turns[1].reasoning, "hm");
}

constexpr char kCalls[] = R"({"role": "assistant", "content": [{"type": "text", "text": "t"},
    {"type": "tool_use", "id": "1", "name": "get", "input": {"b": 1, "a": [2]}},
    {"type": "tool_use", "id": "2", "name": "put", "input": {}}]})";

std::string AfterCalls(const std::string& messages) {
  return absl::StrCat(R"([{"role": "user", "content": "q"},)", kCalls, messages.empty() ? "" : ",", messages,
                      "]");
}

TEST(MessagesTurnsTest, CallsAndResultsAreTurnsInTheCallsOrder) {
  const std::vector<ChatTurn> turns = Turns(AfterCalls(R"({"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
      {"type": "text", "text": "go on"},
      {"type": "tool_result", "tool_use_id": "1", "is_error": true, "content": "no"}]})"));
  EXPECT_EQ(Said(turns), (Strings{"user:q", "assistant:t", "tool:Error: no", "tool:x\ny", "user:go on"}));
  ASSERT_EQ(turns[1].tool_calls.size(), 2u);
  EXPECT_EQ(turns[1].tool_calls[0].id, "1");
  EXPECT_EQ(turns[1].tool_calls[0].name, "get");
  EXPECT_EQ(turns[1].tool_calls[0].arguments.dump(), R"({"b":1,"a":[2]})");
  EXPECT_EQ(turns[2].tool_call_id, "1");
  EXPECT_EQ(turns[2].name, "get");
  EXPECT_EQ(turns[3].tool_call_id, "2");
  EXPECT_EQ(turns[3].name, "put");
}

TEST(MessagesTurnsTest, AResultAloneIsNoUsersTurn) {
  EXPECT_EQ(Said(Turns(AfterCalls(R"({"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "1"}, {"type": "tool_result", "tool_use_id": "2", "content": []}]})"))),
            (Strings{"user:q", "assistant:t", "tool:", "tool:"}));
}

TEST(MessagesTurnsTest, RefusesCallsThatDoNotFitTogetherWithTheirPath) {
  struct {
    const char* messages;
    const char* param;
  } const cases[] = {
      {"", "messages.1.content"},
      {R"({"role": "user", "content": "x"})", "messages.2.content"},
      {R"({"role": "assistant", "content": "x"})", "messages.2.content"},
      {R"({"role": "system", "content": "x"})", "messages.2.content"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]})", "messages.2.content"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "3"}]})",
       "messages.2.content.0.tool_use_id"},
      {R"({"role": "user", "content": [{"type": "tool_result"}]})", "messages.2.content.0.tool_use_id"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}, {"type": "tool_result", "tool_use_id": "1"}]})",
       "messages.2.content.1.tool_use_id"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image"}]}]})",
       "messages.2.content.0.content.0.type"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": 5}]})",
       "messages.2.content.0.content"},
      {R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": "x"}]})",
       "messages.2.content.0.is_error"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(MustRefuseMessages(MessagesWith(AfterCalls(c.messages))).param, c.param) << c.messages;
  }
}

TEST(MessagesTurnsTest, RefusesWhatIsNoMessageWithItsPath) {
  struct {
    const char* messages;
    const char* param;
  } const cases[] = {
      {"5", "messages"},
      {"[]", "messages"},
      {"[5]", "messages.0"},
      {R"([{"content": "x"}])", "messages.0.role"},
      {R"([{"role": "tool", "content": "x"}])", "messages.0.role"},
      {R"([{"role": "user"}])", "messages.0.content"},
      {R"([{"role": "user", "content": null}])", "messages.0.content"},
      {R"([{"role": "user", "content": 5}])", "messages.0.content"},
      {R"([{"role": "user", "content": ["x"]}])", "messages.0.content.0"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages.0.content.0.text"},
      {R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "source": {}}]}])",
       "messages.0.content.1.type"},
      {R"([{"role": "user", "content": [{"type": "document"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}}]}])",
       "messages.0.content.0.type"},
      {R"([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}])",
       "messages.0.content.0.tool_use_id"},
      {R"([{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "1"}]}])",
       "messages.0.content.0.type"},
      {R"([{"role": "assistant", "content": [{"type": "thinking"}]}])", "messages.0.content.0.thinking"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "name": "a", "input": {}}]}])",
       "messages.0.content.0.id"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a b", "input": {}}]}])",
       "messages.0.content.0.name"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": "{}"}]}])",
       "messages.0.content.0.input"},
      {R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}},
                                             {"type": "tool_use", "id": "1", "name": "a", "input": {}}]}])",
       "messages.0.content.1.id"},
      {R"([{"role": "system", "content": [{"type": "image"}]}])", "messages.0.content.0.type"},
  };
  for (const auto& c : cases) {
    const http::ApiError error = MustRefuseMessages(MessagesWith(c.messages));
    EXPECT_EQ(error.param, c.param) << c.messages;
    EXPECT_EQ(error.status, 422) << c.messages;
  }
  std::string many = "[";
  for (int i = 0; i <= 10'000; ++i) {
    absl::StrAppend(&many, i > 0 ? "," : "", R"({"role": "user", "content": ""})");
  }
  EXPECT_EQ(MustRefuseMessages(MessagesWith(many + "]")).param, "messages");
}

}  // namespace
}  // namespace quire::gateway
