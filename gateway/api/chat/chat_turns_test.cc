// What a request's messages become, and which are refused.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/test_chat_bodies.h"

namespace quire::gateway {
namespace {

TEST(ChatTurnsTest, ReadsTurns) {
  const ChatRequest request = MustParse(WithMessages(
      R"([{"role": "developer", "content": "d"}, {"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "text", "text": "b"}], "name": "n"}, {"role": "assistant", "content": "c", "tool_calls": []}])"));
  ASSERT_EQ(request.prompt.turns.size(), 3u);
  EXPECT_EQ(request.prompt.turns[0].role, "system");
  EXPECT_EQ(request.prompt.turns[1].content, "ab");
  EXPECT_TRUE(request.prompt.ContinuesAssistant());
}

// Whatever OpenAI's API knows in a message and a prompt of text can't hold.
TEST(ChatTurnsTest, NothingInAMessageIsDroppedSilently) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"("role": "assistant", "content": "a", "function_call": {"name": "f", "arguments": "{}"})",
       "function_call"},
      {R"("role": "assistant", "content": null, "function_call": {"name": "f"})", "function_call"},
      {R"("role": "assistant", "content": null, "refusal": "I can't")", "refusal"},
      {R"("role": "assistant", "content": "a", "refusal": "I can't")", "refusal"},
      {R"("role": "assistant", "content": [{"type": "refusal", "refusal": "no"}])", "content.0.type"},
      {R"("role": "assistant", "content": null, "audio": {"id": "audio_1"})", "audio"},
      {R"("role": "user", "content": "a", "images": ["aGk="])", "images"},
      {R"("role": "user", "content": "a", "tool_call_id": "1")", "tool_call_id"},
      {R"("role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])",
       "content.0.type"},
      {R"("role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}])", "content.0.type"},
      {R"("role": "tool", "tool_call_id": "1", "content": "9")", "tool_call_id"},
      {R"("role": "function", "name": "f", "content": "9")", "role"},
      {R"("role": "assistant")", "content"},
  };
  for (const auto& [message, field] : cases) {
    const http::ApiError error = MustRefuse(WithMessages(
        absl::StrCat(R"([{"role": "user", "content": "q"}, {"role": "system", "content": "s"}, {)", message,
                     R"(}, {"role": "user", "content": "q"}])")));
    EXPECT_EQ(error.status, 422) << message;
    EXPECT_EQ(error.param, absl::StrCat("messages.2.", field)) << message;
  }
  // As the SDKs echo an answer: every field there, most of them null.
  const ChatRequest echoed =
      MustParse(WithMessages(R"([{"role": "user", "content": "q"}, {"role": "assistant",
      "content": "a", "refusal": null, "audio": null, "function_call": null, "tool_calls": null,
      "annotations": [], "reasoning_content": "hm"}, {"role": "user", "content": "q"}])"));
  EXPECT_EQ(echoed.prompt.turns.size(), 3u);
  EXPECT_EQ(echoed.prompt.turns[1].reasoning, "") << "earlier reasoning is no part of a prompt";
  MustParse(WithMessages(R"([{"role": "assistant", "content": null, "reasoning": {"any": "thing"}},
      {"role": "user", "content": "q"}])"));
}

TEST(ChatTurnsTest, AnAnswerThatIsToBeContinuedBringsItsReasoning) {
  const auto last = [](const std::string& fields) {
    return MustParse(WithMessages(absl::StrCat(R"([{"role": "user", "content": "q"}, {"role": "assistant", )",
                                               fields, "}]")))
        .prompt.turns.back();
  };
  EXPECT_EQ(last(R"("content": "a", "reasoning_content": "hm")").reasoning, "hm");
  EXPECT_EQ(last(R"("content": "a", "reasoning": "hm")").reasoning, "hm");
  EXPECT_EQ(last(R"("content": "a", "reasoning": "hm", "reasoning_content": "hm")").reasoning, "hm");
  EXPECT_EQ(last(R"("content": null, "reasoning_content": "hm")").content, "") << "cut before its content";
  EXPECT_EQ(last(R"("content": "a", "reasoning_content": "", "reasoning": null)").reasoning, "");
  const std::pair<const char*, const char*> wrong[] = {
      {R"("content": "a", "reasoning_content": {"a": 1})", "reasoning_content"},
      {R"("content": "a", "reasoning_content": "a", "reasoning": "b")", "reasoning"},
      {R"("content": null, "reasoning_content": "")", "content"}};
  for (const auto& [fields, field] : wrong) {
    EXPECT_EQ(MustRefuse(WithMessages(absl::StrCat(R"([{"role": "assistant", )", fields, "}]"))).param,
              absl::StrCat("messages.0.", field));
  }
}

TEST(ChatTurnsTest, RefusesBadMessagesWithTheirPath) {
  const std::string long_name(1 << 20, 'n');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "messages"},
      {"null", "messages"},
      {"{}", "messages"},
      {"[1]", "messages.0"},
      {R"([{"content": "x"}])", "messages.0.role"},
      {R"([{"role": "tool", "content": "x"}])", "messages.0.tool_call_id"},
      {R"([{"role": "bot", "content": "x"}])", "messages.0.role"},
      {R"([{"role": 1, "content": "x"}])", "messages.0.role"},
      {R"([{"role": "user"}])", "messages.0.content"},
      {R"([{"role": "user", "content": null}])", "messages.0.content"},
      {R"([{"role": "user", "content": 5}])", "messages.0.content"},
      {R"([{"role": "user", "content": {}}])", "messages.0.content"},
      {R"([{"role": "user", "content": ["x"]}])", "messages.0.content.0"},
      {R"([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "image_url", "image_url": {"url": "http://169.254.169.254"}}]}])",
       "messages.1.content.1.type"},
      {R"([{"role": "user", "content": [{"type": "input_audio"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages.0.content.0.text"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages.0.content.0.type"},
      {R"([{"role": "user", "content": "x", "name": ")" + long_name + R"("}])", "messages.0.name"},
      {R"([{"role": "assistant", "content": "x", "tool_calls": [{}]}])", "messages.0.tool_calls"},
  };
  for (const auto& [messages, param] : cases) {
    const http::ApiError error = MustRefuse(WithMessages(messages));
    EXPECT_EQ(error.status, 422) << messages.substr(0, 99);
    EXPECT_EQ(error.param, param) << messages.substr(0, 99);
  }
  EXPECT_EQ(MustRefuse(R"({"messages": [{"role": "user", "content": "x"}]})").param, "model");
}

}  // namespace
}  // namespace quire::gateway
