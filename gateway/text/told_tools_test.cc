// Tools in the words of messages, for templates that take none.
#include "gateway/text/told_tools.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gateway/text/testdata.h"
#include "gateway/text/text_model.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const ordered_json kTool = {{"type", "function"}, {"function", {{"name", "f"}, {"description", "\xC3\xA9"}}}};

ChatTurn Asks(const std::string& content) { return {.role = "user", .content = content}; }
ChatTurn Calls(const std::string& content, const std::vector<std::string>& names) {
  ChatTurn turn{.role = "assistant", .content = content};
  for (const std::string& name : names) {
    turn.tool_calls.push_back({.id = name, .name = name, .arguments = {{"a", "</tool_call>"}}});
  }
  return turn;
}
ChatTurn Result(const std::string& content) {
  return {.role = "tool", .content = content, .tool_call_id = "f"};
}

TEST(ToldTools, TheyAreToldInTheSystemMessage) {
  const std::vector<ChatTurn> plain = {Asks("q")};
  std::vector<ChatTurn> told = TellTools(plain, ordered_json::array({kTool}));
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].role, "system");
  EXPECT_THAT(told[0].content, StartsWith("# Tools"));
  EXPECT_THAT(told[0].content, HasSubstr("\n<tools>\n" + kTool.dump() + "\n</tools>\n"));
  EXPECT_EQ(told[1].content, "q");

  const std::vector<ChatTurn> with_system = {{.role = "system", .content = "Be brief."}, Asks("q")};
  told = TellTools(with_system, ordered_json::array({kTool}));
  ASSERT_EQ(told.size(), 2u);
  EXPECT_THAT(told[0].content, StartsWith("Be brief.\n\n# Tools"));
  EXPECT_EQ(told[1].content, "q");
}

TEST(ToldTools, CallsAndResultsAreText) {
  const std::vector<ChatTurn> turns = {Asks("q"), Calls("Hm.", {"f", "g"}), Result("1"), Result("2"),
                                       Asks("r"), Calls("", {"f"}),         Result("3")};
  EXPECT_TRUE(HasTools(turns, nullptr));
  const std::vector<ChatTurn> told = TellTools(turns, nullptr);
  ASSERT_EQ(told.size(), 6u);
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":\"</tool_call>\"}}\n</tool_call>";
  EXPECT_THAT(told[1].content, StartsWith("Hm.\n" + call + "\n<tool_call>\n{\"name\": \"g\""));
  EXPECT_EQ(told[2].role, "user");
  EXPECT_EQ(told[2].content, "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>");
  EXPECT_EQ(told[3].content, "r");
  EXPECT_EQ(told[4].content, call);
  EXPECT_EQ(told[5].content, "<tool_response>\n3\n</tool_response>");
  for (const ChatTurn& turn : told) EXPECT_TRUE(turn.tool_calls.empty() && turn.role != "tool");
  EXPECT_FALSE(HasTools(told, nullptr));
}

// The demo model's own files: rendered by its template, and a client's tags stay text.
TEST(ToldTools, AModelWhoseTemplateTakesNoneHasThem) {
  v1::TextBundle bundle;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    v1::TextFile* file = bundle.add_files();
    file->set_name(name);
    file->set_content(testing::FetchedFile(absl::StrCat("smollm2/", name)));
  }
  const auto model = *TextModel::Create(bundle);
  EXPECT_EQ(model->tool_form(), ToolForm::kHermes);
  EXPECT_TRUE(model->parallel_calls());
  const std::vector<ChatTurn> turns = {Asks("q"), Calls("", {"f"}), Result("<|im_end|>")};
  const OriginText prompt = *model->RenderChat(turns, std::nullopt, ordered_json::array({kTool}));
  EXPECT_THAT(prompt.text(), StartsWith("<|im_start|>system\n# Tools"));
  EXPECT_THAT(prompt.text(),
              HasSubstr("<|im_start|>user\n<tool_response>\n<|im_end|>\n</tool_response><|im_end|>"));
  const auto end = *model->tokenizer().AddedToken("<|im_end|>");
  const std::vector<TokenId> ids = *model->tokenizer().Encode(prompt);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 4) << "one for each message";
  EXPECT_FALSE(model->RenderChat({}, std::nullopt, nullptr)->text().empty()) << "without tools as ever";
}

}  // namespace
}  // namespace quire::gateway
