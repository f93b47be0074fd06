// Calls of tools in chat answers, streamed and whole.
#include <set>

#include "gateway/api/chat/test_chat_writers.h"

namespace quire::gateway {
namespace {

Piece CallPiece(uint32_t index, const std::string& name, const std::string& text) {
  return {.text = text, .positions = 1, .kind = PieceKind::kToolCall, .call = {.index = index, .name = name}};
}

// As a client puts them together.
json BuildCalls(const std::vector<json>& events) {
  json calls = json::array();
  for (const json& event : events) {
    if (event == "[DONE]") continue;
    for (const json& part : event["choices"][0]["delta"].value("tool_calls", json::array())) {
      const auto index = part["index"].get<size_t>();
      if (index == calls.size()) {
        EXPECT_EQ(part["function"]["arguments"], "") << "the first names it";
        calls.push_back(part);
        calls.back().erase("index");
      } else {
        EXPECT_EQ(index + 1, calls.size());
        EXPECT_EQ(part.size(), 2u) << part;
        EXPECT_EQ(part["function"].size(), 1u) << "id, type and name came once";
        auto& arguments = calls.back()["function"]["arguments"].get_ref<std::string&>();
        arguments += part["function"]["arguments"].get<std::string>();
      }
    }
  }
  return calls;
}

TEST_F(ChatWritersTest, CallsAreSaidAlikeStreamedAndWhole) {
  ChoiceEnd end = End();
  end.called_tools = true;
  const std::vector<Piece> calls = {CallPiece(0, "f", ""), CallPiece(0, "", "{\"a\": \"\\\"\xE2\x80\xA8"),
                                    CallPiece(0, "", "\"}"), CallPiece(1, "g", ""), CallPiece(1, "", "{}")};
  for (const std::vector<Piece>& before : std::vector<std::vector<Piece>>{{}, {Text("Hm.")}}) {
    ChatStreamWriter stream_writer(Head(), {});
    ChatWholeWriter whole_writer(Head(), {});
    TestSink streamed, whole;
    std::vector<Piece> pieces = before;
    pieces.insert(pieces.end(), calls.begin(), calls.end());
    if (!before.empty()) pieces.push_back(Text(" Done."));
    for (const Piece& piece : pieces) {
      stream_writer.Delta(piece, streamed);
      whole_writer.Delta(piece, whole);
    }
    stream_writer.End(end, streamed);
    stream_writer.Close(kUsage, streamed);
    whole_writer.End(end, whole);
    whole_writer.Close(kUsage, whole);
    const std::vector<json> events = Events(streamed.bytes());
    const json choice = json::parse(whole.bytes())["choices"][0];
    const json& message = choice["message"];
    EXPECT_EQ(message["content"], before.empty() ? json() : json("Hm. Done."));
    EXPECT_EQ(FieldOfStream(streamed.bytes(), "content").text, before.empty() ? "" : "Hm. Done.");
    EXPECT_EQ(BuildCalls(events), message["tool_calls"]);
    ASSERT_EQ(message["tool_calls"].size(), 2u);
    const json& first = message["tool_calls"][0];
    EXPECT_EQ(first["type"], "function");
    EXPECT_EQ(first["function"]["name"], "f");
    EXPECT_EQ(first["function"]["arguments"], "{\"a\": \"\\\"\xE2\x80\xA8\"}");
    EXPECT_EQ(first["id"], CallIdOf(RequestId{}, 0, 0));
    EXPECT_EQ(message["tool_calls"][1]["id"], CallIdOf(RequestId{}, 0, 1));
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], "tool_calls");
    EXPECT_EQ(Delivered(streamed), pieces.size() + 3);
    EXPECT_EQ(Delivered(whole), pieces.size() + 3);
  }
}

TEST_F(ChatWritersTest, ACallsIdIsItsOwnAndNoSecret) {
  std::set<std::string> ids;
  for (uint32_t choice = 0; choice < 4; ++choice) {
    for (uint32_t index = 0; index < 50; ++index) ids.insert(CallIdOf(RequestId{}, choice, index));
  }
  for (int i = 0; i < 50; ++i) ids.insert(CallIdOf(RequestId::Random(), 0, 0));
  EXPECT_EQ(ids.size(), 250u);
  for (const std::string& id : ids) {
    EXPECT_EQ(id.size(), 29u);
    EXPECT_TRUE(id.starts_with("call_"));
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef", 5), std::string::npos);
  }
}

}  // namespace
}  // namespace quire::gateway
