// The events and bytes of Responses answers, streamed and whole, and which frame counts which tokens.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "gateway/api/pipeline/test_sink.h"
#include "gateway/api/responses/responses_stream_writer.h"
#include "gateway/api/responses/responses_whole_writer.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

const Usage kUsage{
    .counts = {.prompt = 15, .cached = 4, .completion = 16}, .cost_nano_usd = 3525, .reasoning_tokens = 2};
constexpr char kEcho[] = R"({"store":false,"metadata":{"a":"b"}})";

AnswerHead Head() {
  return {.id = RequestId{},
          .model = "m",
          .created_unix_s = 7,
          .text = *TextModel::Create(testing::TinyBundle())};
}

Piece Text(const std::string& text) { return {.text = text, .positions = 1}; }
Piece Thought(const std::string& text) {
  return {.text = text, .positions = 2, .kind = PieceKind::kReasoning, .reasoning_positions = 2};
}
Piece Call(uint32_t index, const std::string& name, const std::string& text) {
  return {.text = text, .positions = 1, .kind = PieceKind::kToolCall, .call = {index, name}};
}

void Say(AnswerWriter& writer, const std::vector<Piece>& pieces, const ChoiceEnd& end, TestSink& sink) {
  writer.Begin(kUsage, sink);
  for (const Piece& piece : pieces) writer.Delta(piece, sink);
  writer.End(end, sink);
  writer.Close(kUsage, sink);
  uint64_t counted = 0, positions = end.positions;
  for (const Positions& of_one : sink.TakeDelivered()) counted += of_one.count;
  for (const Piece& piece : pieces) positions += piece.positions;
  EXPECT_EQ(counted, positions);
  for (const TestSink::Frame& frame : sink.frames()) EXPECT_FALSE(frame.bytes.empty());
}

// Each event's name is its type, and its number one more than the last.
std::vector<json> Events(const std::string& stream) {
  std::vector<json> events;
  for (size_t start = 0, end; start < stream.size(); start = end + 2) {
    end = stream.find("\n\n", start);
    const size_t line = stream.find('\n', start);
    events.push_back(json::parse(stream.substr(line + 7, end - line - 7)));
    EXPECT_EQ(stream.substr(start, line - start), "event: " + events.back()["type"].get<std::string>());
    EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
  }
  return events;
}

// What is told item by item is what the whole response says at the end.
void ExpectItems(const std::vector<json>& events, const json& output) {
  std::string deltas;
  for (const json& event : events) {
    const std::string type = event["type"];
    if (type == "response.output_item.added") {
      deltas.clear();
      EXPECT_EQ(event["item"]["status"], "in_progress");
      EXPECT_EQ(event["item"]["id"], output.at(event["output_index"].get<size_t>())["id"]);
    }
    if (type.ends_with(".delta")) deltas += event["delta"];
    if (type.ends_with(".done") && (event.contains("text") || event.contains("arguments"))) {
      EXPECT_EQ(event.contains("text") ? event["text"] : event["arguments"], deltas);
    }
    if (type == "response.output_item.done") {
      EXPECT_EQ(event["item"], output.at(event["output_index"].get<size_t>()));
    }
  }
}

// Streamed and whole, which are the same.
json Said(const std::vector<Piece>& pieces, ChoiceEnd end = {.positions = 3}) {
  TestSink streamed, whole;
  ResponsesStreamWriter stream_writer(Head(), kEcho);
  ResponsesWholeWriter whole_writer(Head(), kEcho);
  Say(stream_writer, pieces, end, streamed);
  Say(whole_writer, pieces, end, whole);
  json response = json::parse(whole.bytes());
  const std::vector<json> events = Events(streamed.bytes());
  EXPECT_EQ(events[0]["type"], "response.created");
  EXPECT_EQ(events[1]["type"], "response.in_progress");
  EXPECT_EQ(events[0]["response"]["output"], json::array());
  EXPECT_EQ(events.back()["response"], response);
  EXPECT_EQ(events.back()["type"], "response." + response["status"].get<std::string>());
  ExpectItems(events, response["output"]);
  return response;
}

TEST(ResponsesWritersTest, AnAnswerOfText) {
  const json response = Said({Text("a\""), Text("\xE2\x80\xA8z")});
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["created_at"], 7);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["metadata"]["a"], "b");
  ASSERT_EQ(response["output"].size(), 1u);
  const json& message = response["output"][0];
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["status"], "completed");
  EXPECT_EQ(message["content"][0]["text"], "a\"\xE2\x80\xA8z");
  EXPECT_EQ(response["usage"], json::parse(R"({"input_tokens": 15, "output_tokens": 16, "total_tokens": 31,
      "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
      "output_tokens_details": {"reasoning_tokens": 2}, "estimated_cost": 3.525e-06})"));
}

TEST(ResponsesWritersTest, ReasoningAndCallsAreItems) {
  const json output = Said({Thought("h"), Thought("m"), Text("t"), Call(0, "get", ""), Call(0, "", "{\"a\""),
                            Call(0, "", ": 1}"), Call(1, "put", "{}")})["output"];
  ASSERT_EQ(output.size(), 4u);
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"][0]["text"], "hm");
  EXPECT_EQ(output[2]["type"], "function_call");
  EXPECT_EQ(output[2]["arguments"], "{\"a\": 1}");
  EXPECT_EQ(output[2]["name"], "get");
  EXPECT_EQ(output[3]["arguments"], "{}");
  EXPECT_NE(output[2]["call_id"], output[3]["call_id"]);
}

TEST(ResponsesWritersTest, WhatWasCutIsIncomplete) {
  const json response =
      Said({Text("t"), Call(0, "get", "{\"a")}, {.kind = Ending::Kind::kLength, .positions = 1});
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "completed");
  EXPECT_EQ(response["output"][1]["status"], "incomplete");
}

TEST(ResponsesWritersTest, ALoopIsNoMatterOfMaxOutputTokens) {
  ChoiceEnd end{.kind = Ending::Kind::kLength, .positions = 1};
  EXPECT_FALSE(Said({Text("t")}, end)["incomplete_details"].contains("finish_details"));
  end.loop = true;
  const json details = Said({Text("t")}, end)["incomplete_details"];
  EXPECT_EQ(details["reason"], "max_output_tokens");
  EXPECT_EQ(details["finish_details"]["type"], "loop");
}

TEST(ResponsesWritersTest, AnAnswerWithoutTextIsAnEmptyMessage) {
  EXPECT_EQ(Said({})["output"][0]["content"][0]["text"], "");
}

TEST(ResponsesWritersTest, LogprobsStandWithTheirText) {
  Piece piece = Text("a");
  piece.tokens = {{.token = {97, -0.5f}, .top = {{97, -0.5f}}}};
  const json part = Said({piece, piece})["output"][0]["content"][0];
  ASSERT_EQ(part["logprobs"].size(), 2u);
  EXPECT_EQ(part["logprobs"][0]["token"], "a");
  EXPECT_EQ(part["logprobs"][0]["top_logprobs"][0]["logprob"], -0.5);
}

TEST(ResponsesWritersTest, AFailureIsTheLastEvent) {
  for (const bool begun : {true, false}) {
    TestSink sink;
    ResponsesStreamWriter writer(Head(), kEcho);
    if (begun) writer.Begin(kUsage, sink);
    if (begun) writer.Delta(Text("a"), sink);
    writer.Fail({.status = 503, .message = "gone", .code = "no_capacity"}, sink);
    const json last = Events(sink.bytes()).back();
    EXPECT_EQ(last["type"], begun ? "response.failed" : "error");
    const json& error = begun ? last["response"]["error"] : last;
    EXPECT_EQ(error["code"], "no_capacity");
    EXPECT_EQ(error["message"], "gone");
  }
}

}  // namespace
}  // namespace quire::gateway
