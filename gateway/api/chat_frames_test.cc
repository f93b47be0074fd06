#include "gateway/api/chat_frames.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <vector>

namespace quire::gateway {
namespace {

using nlohmann::json;

const std::string kDone(ChatFrames::kDone);
const Usage kUsage{.counts = {.prompt = 15, .cached = 4, .completion = 16}, .cost_nano_usd = 3525};

// Every event's data of a stream, parsed but for [DONE].
std::vector<json> Events(const std::string& stream) {
  std::vector<json> events;
  size_t start = 0;
  while (start < stream.size()) {
    const size_t end = stream.find("\n\n", start);
    const std::string line = stream.substr(start, end - start);
    EXPECT_EQ(line.substr(0, 6), "data: ");
    const std::string data = line.substr(6);
    events.push_back(data == "[DONE]" ? json(data) : json::parse(data));
    start = end + 2;
  }
  return events;
}

ChatFrames Frames(UsageFrames usage_frames) { return {RequestId{}, "m\"x", 1700000000, usage_frames}; }

TEST(ChatFramesTest, AStreamIsRoleTextFinishDone) {
  ChatFrames frames = Frames(UsageFrames::kOnFinish);
  const std::string stream =
      frames.Role() + std::string(frames.Text("hé\n\"\\\x01")) + frames.End("stop", kUsage) + kDone;
  const std::vector<json> events = Events(stream);
  ASSERT_EQ(events.size(), 4u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(events[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(events[i]["id"], "chatcmpl-" + RequestId{}.ToHex());
    EXPECT_EQ(events[i]["model"], "m\"x");
    EXPECT_EQ(events[i]["created"], 1700000000);
    EXPECT_EQ(events[i]["choices"][0]["index"], 0);
    EXPECT_EQ(events[i].contains("usage"), i == 2);
  }
  EXPECT_EQ(events[0]["choices"][0]["delta"], json::parse(R"({"role": "assistant", "content": ""})"));
  EXPECT_TRUE(events[0]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events[1]["choices"][0]["delta"]["content"], "hé\n\"\\\x01");
  EXPECT_EQ(events[2]["choices"][0]["delta"], json::object());
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[2]["usage"]["total_tokens"], 31);
  EXPECT_EQ(events[2]["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(events[2]["usage"]["estimated_cost"].get<double>(), 0.000003525);
  EXPECT_EQ(events[3], "[DONE]");
}

TEST(ChatFramesTest, IncludeUsagePutsItInALastChunkOfItsOwn) {
  ChatFrames frames = Frames(UsageFrames::kLastChunk);
  const std::vector<json> events =
      Events(frames.Role() + std::string(frames.Text("a")) + frames.End("length", kUsage));
  ASSERT_EQ(events.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(events[i].at("usage").is_null());
  EXPECT_EQ(events[3]["choices"], json::array());
  EXPECT_EQ(events[3]["usage"]["completion_tokens"], 16);
}

// A frame's tokens count with its last byte: [DONE] in the usage's frame would leave them out for a client
// that read the usage and no more.
TEST(ChatFramesTest, TheUsageIsTheEndOfItsFrame) {
  for (const UsageFrames usage_frames : {UsageFrames::kOnFinish, UsageFrames::kLastChunk}) {
    const std::vector<json> events = Events(Frames(usage_frames).End("stop", kUsage));
    ASSERT_TRUE(events.back().is_object()) << events.back();
    EXPECT_EQ(events.back()["usage"]["completion_tokens"], 16);
  }
}

TEST(ChatFramesTest, WhatIsLeftToCountIsCountedWithTheUsage) {
  const ChatFrames frames = Frames(UsageFrames::kOnFinish);
  const std::string end = frames.End("stop", kUsage);
  const ChatFrames::Close stream = ChatFrames::CloseStream(end, 3),
                          whole = frames.CloseWhole("stop", kUsage, 3);
  EXPECT_EQ(stream[0].bytes, end);
  EXPECT_EQ(stream[1].bytes, kDone);
  EXPECT_TRUE(whole[0].bytes.ends_with("\"reasoning_tokens\":0}}"));
  EXPECT_EQ(whole[1].bytes, ChatFrames::kWholeClose);
  for (const ChatFrames::Close& close : {stream, whole}) {
    EXPECT_EQ(close[0].positions, 3u);
    EXPECT_EQ(close[1].positions, 0u);
  }
}

TEST(ChatFramesTest, NoUsageWhereItWasDeclined) {
  const std::string end = Frames(UsageFrames::kNone).End("stop", kUsage);
  EXPECT_EQ(end.find("usage"), std::string::npos);
}

TEST(ChatFramesTest, AnErrorIsOneEvent) {
  const std::vector<json> events = Events(ChatFrames::Error({.status = 503, .message = "gone\n"}));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["error"]["message"], "gone\n");
}

// Readers of lines that know Unicode would cut an event at these.
TEST(ChatFramesTest, NoFrameHoldsALineBreakOfUnicode) {
  const std::string marks = "a\xC2\x85\xE2\x80\xA8\xE2\x80\xA9z";
  ChatFrames frames(RequestId{}, marks, 1700000000, UsageFrames::kLastChunk);
  const std::string stream = frames.Role() + std::string(frames.Text(marks)) + frames.End("stop", kUsage);
  const std::string error = ChatFrames::Error({.status = 503, .message = marks, .param = marks});
  for (const std::string& frame : {stream, error}) {
    for (const char* mark : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
      EXPECT_EQ(frame.find(mark), std::string::npos) << frame;
    }
  }
  EXPECT_EQ(Events(stream)[1]["choices"][0]["delta"]["content"], marks);
  EXPECT_EQ(Events(stream)[1]["model"], marks);
  EXPECT_EQ(Events(error)[0]["error"]["message"], marks);
}

TEST(ChatFramesTest, AWholeAnswer) {
  const ChatFrames frames = Frames(UsageFrames::kOnFinish);
  const ChatFrames::Close close = frames.CloseWhole("stop", kUsage, 0);
  const json body = json::parse(frames.WholeStart() + "text" + close[0].bytes + close[1].bytes);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"], json::parse(R"({"role": "assistant", "content": "text"})"));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 15);
}

// The decimal number that a JSON number's text stands for, times 10^9: what a client computes with Decimal.
int64_t NanoOf(const std::string& text) {
  const size_t e = text.find('e');
  const int exponent = e == std::string::npos ? 0 : std::stoi(text.substr(e + 1));
  std::string digits = text.substr(0, e);
  const size_t point = digits.find('.');
  int shift = 9 + exponent;
  if (point != std::string::npos) {
    shift -= static_cast<int>(digits.size() - point - 1);
    digits.erase(point, 1);
  }
  EXPECT_GE(shift, 0) << text;
  int64_t value = std::stoll(digits);
  for (; shift > 0; --shift) value *= 10;
  return value;
}

TEST(ChatFramesTest, CostReadsBackAsTheLedgersIntegerWithDecimal) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const int64_t nano = static_cast<int64_t>(random() >> (14 + random() % 50));
    EXPECT_EQ(NanoOf(CostUsd(nano)), nano);
  }
  EXPECT_EQ(CostUsd(0), "0");
  EXPECT_EQ(NanoOf(CostUsd(3525)), 3525);
  EXPECT_EQ(NanoOf(CostUsd(26800)), 26800);
}

}  // namespace
}  // namespace quire::gateway
