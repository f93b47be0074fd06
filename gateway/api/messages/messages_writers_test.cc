// The events and bytes of Messages answers, streamed and whole, and which frame counts which tokens.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/messages_dialect.h"
#include "gateway/api/messages/messages_stream_writer.h"
#include "gateway/api/messages/messages_whole_writer.h"
#include "gateway/api/pipeline/test_sink.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

const Usage kUsage{
    .counts = {.prompt = 15, .cached = 4, .completion = 16}, .cost_nano_usd = 3525, .reasoning_tokens = 2};

AnswerHead Head() { return {.id = RequestId{}, .model = "m\"x", .created_unix_s = 1, .text = nullptr}; }

// Every event's data; its name is its type.
std::vector<json> Events(const std::string& stream) {
  std::vector<json> events;
  for (size_t start = 0, end; start < stream.size(); start = end + 2) {
    end = stream.find("\n\n", start);
    const size_t line = stream.find('\n', start);
    EXPECT_EQ(stream.substr(line + 1, 6), "data: ");
    events.push_back(json::parse(stream.substr(line + 7, end - line - 7)));
    EXPECT_EQ(stream.substr(start, line - start), "event: " + events.back()["type"].get<std::string>());
  }
  return events;
}

// The message that a client puts together of a stream.
json Assembled(const std::string& stream) {
  const std::vector<json> events = Events(stream);
  EXPECT_EQ(events.front()["type"], "message_start");
  EXPECT_EQ(events.back()["type"], "message_stop");
  json message = events.front()["message"];
  bool open = false;
  std::string input;
  for (const json& event : events) {
    json& blocks = message["content"];
    if (event["type"] == "content_block_start") {
      EXPECT_FALSE(std::exchange(open, true));
      EXPECT_EQ(event["index"], blocks.size());
      blocks.push_back(event["content_block"]);
      input.clear();
    } else if (event["type"] == "content_block_delta") {
      EXPECT_TRUE(open);
      EXPECT_EQ(event["index"], blocks.size() - 1);
      const json& delta = event["delta"];
      json& block = blocks.back();
      if (delta["type"] == "text_delta")
        block["text"] = block["text"].get<std::string>() + delta["text"].get<std::string>();
      if (delta["type"] == "thinking_delta")
        block["thinking"] = block["thinking"].get<std::string>() + delta["thinking"].get<std::string>();
      if (delta["type"] == "signature_delta") block["signature"] = delta["signature"];
      if (delta["type"] == "input_json_delta") input += delta["partial_json"].get<std::string>();
    } else if (event["type"] == "content_block_stop") {
      EXPECT_TRUE(std::exchange(open, false));
      if (!input.empty()) blocks.back()["input"] = json::parse(input, nullptr, false);
    } else if (event["type"] == "message_delta") {
      message.update(event["delta"]);
      message["usage"] = event["usage"];
    }
  }
  EXPECT_FALSE(open);
  return message;
}

struct Answer {
  std::vector<Piece> pieces;
  ChoiceEnd end{.positions = 3};
  MessagesForm form = {};
  Usage usage = kUsage;
};

uint64_t Delivered(TestSink& sink) {
  uint64_t all = 0;
  for (const Positions& positions : sink.TakeDelivered()) all += positions.count;
  return all;
}

void Say(AnswerWriter& writer, const Answer& answer, TestSink& sink) {
  writer.Begin(answer.usage, sink);
  for (const Piece& piece : answer.pieces) writer.Delta(piece, sink);
  writer.End(answer.end, sink);
  writer.Close(answer.usage, sink);
  uint64_t positions = answer.end.positions;
  for (const Piece& piece : answer.pieces) positions += piece.positions;
  for (const TestSink::Frame& frame : sink.frames()) EXPECT_FALSE(frame.bytes.empty());
  EXPECT_EQ(Delivered(sink), positions);
}

json Whole(const Answer& answer) {
  TestSink sink;
  MessagesWholeWriter writer(Head(), answer.form);
  Say(writer, answer, sink);
  EXPECT_EQ(sink.frames().back().positions, 0u) << "who has the whole body has been counted";
  return json::parse(sink.bytes());
}

std::string Streamed(const Answer& answer) {
  TestSink sink;
  MessagesStreamWriter writer(Head(), answer.form);
  Say(writer, answer, sink);
  return sink.bytes();
}

// Both, which are the same.
json Said(const Answer& answer) {
  const json whole = Whole(answer);
  EXPECT_EQ(Assembled(Streamed(answer)), whole);
  return whole;
}

Piece Text(const std::string& text) { return {.text = text, .positions = 1}; }
Piece Thought(const std::string& text) {
  return {.text = text, .positions = 2, .kind = PieceKind::kReasoning, .reasoning_positions = 2};
}
Piece Call(uint32_t index, const std::string& name, const std::string& text) {
  return {.text = text, .positions = 1, .kind = PieceKind::kToolCall, .call = {index, name}};
}

TEST(MessagesWritersTest, AnAnswerOfText) {
  const json message = Said({.pieces = {Text("a\"\n"), Text("\xE2\x80\xA8z")}});
  EXPECT_EQ(message["id"], "msg_" + RequestId{}.ToHex());
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["model"], "m\"x");
  EXPECT_EQ(message["content"], json::parse(R"([{"type": "text", "text": "a\"\n\u2028z"}])"));
  EXPECT_EQ(message["stop_reason"], "end_turn");
  EXPECT_TRUE(message["stop_sequence"].is_null());
  EXPECT_EQ(message["usage"], json::parse(R"({"input_tokens": 15, "output_tokens": 16,
      "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens_details": {"thinking_tokens": 2},
      "quire": {"estimated_cost": 3.525e-06, "cached_tokens": 4}})"));
}

TEST(MessagesWritersTest, AStreamBeginsWithThePromptsTokensAndAnEmptyMessage) {
  const std::vector<json> events = Events(Streamed({.pieces = {Text("a")}}));
  const json& start = events.front()["message"];
  EXPECT_EQ(start["content"], json::array());
  EXPECT_TRUE(start["stop_reason"].is_null());
  EXPECT_TRUE(start["stop_sequence"].is_null());
  EXPECT_EQ(start["usage"]["input_tokens"], 15);
  EXPECT_EQ(start["usage"]["output_tokens"], 0);
}

TEST(MessagesWritersTest, WhoeverAskedForACacheReadsWhatItBrought) {
  Answer answer{.pieces = {Text("a")}};
  answer.form.tells_cached = true;
  const json usage = Said(answer)["usage"];
  EXPECT_EQ(usage["input_tokens"], 11);
  EXPECT_EQ(usage["cache_read_input_tokens"], 4);
  EXPECT_EQ(Events(Streamed(answer)).front()["message"]["usage"]["input_tokens"], 11);
}

TEST(MessagesWritersTest, AnAnswerWithoutTextHasAnEmptyBlock) {
  EXPECT_EQ(Said({})["content"], json::parse(R"([{"type": "text", "text": ""}])"));
}

TEST(MessagesWritersTest, ThinkingIsABlockThatIsSigned) {
  const json blocks = Said({.pieces = {Thought("h"), Thought("m"), Text("a")}})["content"];
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0]["type"], "thinking");
  EXPECT_EQ(blocks[0]["thinking"], "hm");
  EXPECT_NE(blocks[0]["signature"], "");
  EXPECT_EQ(blocks[1]["text"], "a");
  EXPECT_EQ(Said({.pieces = {Thought("h")}})["content"].size(), 1u) << "cut before it had any text";
}

TEST(MessagesWritersTest, ThinkingThatIsOmittedIsSignedAndCountedAllTheSame) {
  Answer answer{.pieces = {Thought("h"), Thought("m"), Text("a")}};
  answer.form.omits_thinking = true;
  const json blocks = Said(answer)["content"];
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0]["thinking"], "");
  EXPECT_NE(blocks[0]["signature"], "");
  answer.pieces = {Thought("h"), Thought("m")};
  EXPECT_EQ(Said(answer)["content"].size(), 1u);
}

TEST(MessagesWritersTest, CallsAreBlocksWithTheirInput) {
  Answer answer{.pieces = {Text("t"), Call(0, "get", ""), Call(0, "", "{\"a\": "), Call(0, "", "\"\\n\"}"),
                           Call(1, "put", "{}")}};
  answer.end.called_tools = true;
  const json message = Said(answer);
  EXPECT_EQ(message["stop_reason"], "tool_use");
  const json& blocks = message["content"];
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[1]["type"], "tool_use");
  EXPECT_EQ(blocks[1]["name"], "get");
  EXPECT_EQ(blocks[1]["input"], json::parse(R"({"a": "\n"})"));
  EXPECT_EQ(blocks[2]["name"], "put");
  EXPECT_EQ(blocks[2]["input"], json::object());
  EXPECT_EQ(blocks[1]["id"].get<std::string>().rfind("toolu_", 0), 0u);
  EXPECT_NE(blocks[1]["id"], blocks[2]["id"]);
}

TEST(MessagesWritersTest, EachTokenOfACallCountsWithItsOwnBytes) {
  TestSink sink;
  MessagesWholeWriter writer(Head(), {});
  Answer answer{.pieces = {Call(0, "get", ""), Call(0, "", "{\"a\": "), Call(0, "", ""), Call(0, "", "[1, 2"),
                           Call(0, "", "]}")}};
  Say(writer, answer, sink);
  std::vector<std::pair<std::string, uint32_t>> counted;
  for (const TestSink::Frame& frame : sink.frames()) {
    if (frame.positions > 0) counted.emplace_back(frame.bytes, frame.positions);
  }
  ASSERT_EQ(counted.size(), 4u);
  EXPECT_EQ(counted[0], (std::pair<std::string, uint32_t>("{\"a\": ", 2)));
  EXPECT_EQ(counted[1], (std::pair<std::string, uint32_t>("[1, 2", 2)));
  EXPECT_EQ(counted[2], (std::pair<std::string, uint32_t>("]}", 1)));
}

TEST(MessagesWritersTest, ALoopIsNoMatterOfMaxTokens) {
  Answer answer{.pieces = {Text("a")}};
  answer.end.kind = Ending::Kind::kLength;
  EXPECT_FALSE(Said(answer)["usage"]["quire"].contains("finish_details"));
  answer.end.loop = true;
  const json message = Said(answer);
  EXPECT_EQ(message["stop_reason"], "max_tokens");
  EXPECT_EQ(message["usage"]["quire"]["finish_details"]["type"], "loop");
}

TEST(MessagesWritersTest, AWholeAnswersCutCallHasNoInput) {
  for (const char* cut : {"", "{\"a\": [1, {", "{\"a\": \"", "[1]"}) {
    Answer answer{.pieces = {Call(0, "get", cut)}};
    answer.end.kind = Ending::Kind::kLength;
    const json message = Whole(answer);
    EXPECT_EQ(message["content"][0]["input"], json::object()) << cut;
    EXPECT_EQ(message["stop_reason"], "max_tokens");
  }
}

TEST(MessagesWritersTest, SaysWhyItStopped) {
  Answer answer;
  answer.form.stops = {"x", "\"END\""};
  answer.end.stop = 1;
  const json stopped = Said(answer);
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], "\"END\"");
  answer.end.called_tools = true;
  EXPECT_EQ(Said(answer)["stop_reason"], "tool_use");
  EXPECT_TRUE(Said(answer)["stop_sequence"].is_null());
  for (const auto kind : {Ending::Kind::kLength, Ending::Kind::kBudget}) {
    answer.end.kind = kind;
    EXPECT_EQ(Said(answer)["stop_reason"], "max_tokens");
    EXPECT_TRUE(Said(answer)["stop_sequence"].is_null());
  }
}

TEST(MessagesWritersTest, StreamedIsWholeAtAnyChunking) {
  const std::string thought = "h\xC3\xA9\n", text = "t\"\\", input = "{\"k\": [\"\xE2\x82\xAC\", 1]}";
  for (size_t at = 1; at <= input.size(); ++at) {
    Answer answer;
    for (const char c : thought.substr(0, 1)) answer.pieces.push_back(Thought(std::string(1, c)));
    answer.pieces.push_back(Thought(thought.substr(1)));
    answer.pieces.push_back(Text(text));
    for (uint32_t call = 0; call < 3; ++call) {
      for (size_t i = 0; i < input.size(); i += at) {
        size_t end = i + at;  // whole characters, as a detokenizer gives them
        while (end < input.size() && (static_cast<unsigned char>(input[end]) & 0xC0) == 0x80) ++end;
        answer.pieces.push_back(Call(call, i == 0 ? "get" : "", input.substr(i, end - i)));
        i = end - at;
      }
    }
    answer.end.called_tools = true;
    const json message = Said(answer);
    ASSERT_EQ(message["content"].size(), 5u);
    for (size_t i = 2; i < 5; ++i) EXPECT_EQ(message["content"][i]["input"], json::parse(input)) << at;
  }
}

TEST(MessagesWritersTest, AStreamThatFailsEndsWithAnErrorEvent) {
  TestSink sink;
  MessagesStreamWriter writer(Head(), {});
  writer.Begin(kUsage, sink);
  writer.Delta(Text("a"), sink);
  writer.Fail({.status = 503, .message = "gone\n", .code = "x"}, sink);
  const json last = Events(sink.bytes()).back();
  EXPECT_EQ(last, json({{"type", "error"},
                        {"error", {{"type", "overloaded_error"}, {"message", "gone\n"}}},
                        {"request_id", RequestId{}.ToHex()}}));
}

TEST(MessagesDialectTest, EachStatusHasItsTypeAndAFieldIsABadRequest) {
  const std::vector<std::pair<int, const char*>> cases = {{400, "invalid_request_error"},
                                                          {401, "authentication_error"},
                                                          {402, "billing_error"},
                                                          {403, "permission_error"},
                                                          {404, "not_found_error"},
                                                          {405, "invalid_request_error"},
                                                          {413, "request_too_large"},
                                                          {415, "invalid_request_error"},
                                                          {422, "invalid_request_error"},
                                                          {429, "rate_limit_error"},
                                                          {500, "api_error"},
                                                          {503, "overloaded_error"}};
  for (const auto& [status, type] : cases) {
    const http::Reply reply =
        kMessagesDialect.error_reply({.status = status, .message = "m", .code = "c", .retry_after_s = 3}, {});
    EXPECT_EQ(reply.status, status == 422 ? 400 : status);
    EXPECT_EQ(json::parse(reply.body)["error"]["type"], type) << status;
    EXPECT_EQ(reply.error, "c") << "the log's";
    EXPECT_EQ(reply.headers.back().first, "retry-after");
  }
}

}  // namespace
}  // namespace quire::gateway
