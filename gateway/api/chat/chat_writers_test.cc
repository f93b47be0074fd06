// The bytes of chat answers, streamed and whole, and which frame counts which tokens.
#include <random>

#include "gateway/api/chat/test_chat_writers.h"

namespace quire::gateway {
namespace {

TEST_F(ChatWritersTest, AStreamIsRoleTextFinishDone) {
  const std::vector<json> events = Events(Joined(Stream(UsageFrames::kOnFinish, {"hé\n\"\\\x01"})));
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

TEST_F(ChatWritersTest, IncludeUsagePutsItInALastChunkOfItsOwn) {
  const std::vector<json> events =
      Events(Joined(Stream(UsageFrames::kLastChunk, {"a"}, Ending::Kind::kLength)));
  ASSERT_EQ(events.size(), 5u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(events[i].at("usage").is_null());
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[3]["choices"], json::array());
  EXPECT_EQ(events[3]["usage"]["completion_tokens"], 16);
}

// A frame's tokens count with its last byte: [DONE] in the usage's frame would leave them out for a client
// that read the usage and no more.
TEST_F(ChatWritersTest, WhatIsLeftToCountIsCountedWithTheUsage) {
  for (const UsageFrames usage_frames : {UsageFrames::kOnFinish, UsageFrames::kLastChunk}) {
    const std::vector<TestSink::Frame> frames = Stream(usage_frames, {"a"});
    const TestSink::Frame& usage = frames[frames.size() - 2];
    EXPECT_EQ(usage.positions, 3u);
    EXPECT_EQ(Events(usage.bytes).back()["usage"]["completion_tokens"], 16);
    EXPECT_EQ(frames.back().bytes, kDone);
    EXPECT_EQ(frames.back().positions, 0u);
  }
  ChatWholeWriter whole(Head(), {});
  TestSink sink;
  whole.End(End(), sink);
  whole.Close(kUsage, sink);
  const auto& frames = sink.frames();
  EXPECT_TRUE(frames[frames.size() - 2].bytes.ends_with("\"reasoning_tokens\":0}}"));
  EXPECT_EQ(frames[frames.size() - 2].positions, 3u);
  EXPECT_EQ(frames.back().bytes, "}");
}

TEST_F(ChatWritersTest, NoUsageWhereItWasDeclined) {
  EXPECT_EQ(Joined(Stream(UsageFrames::kNone, {"a"})).find("usage"), std::string::npos);
}

TEST_F(ChatWritersTest, AnAnswerWithoutTextStillHasItsRole) {
  const std::vector<json> events = Events(Joined(Stream(UsageFrames::kOnFinish, {})));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
}

TEST_F(ChatWritersTest, AnErrorIsOneEvent) {
  ChatStreamWriter writer(Head(), {});
  TestSink sink;
  writer.Fail({.status = 503, .message = "gone\n"}, sink);
  const std::vector<json> events = Events(sink.bytes());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["error"]["message"], "gone\n");
  EXPECT_EQ(events[1], "[DONE]");
}

// Readers of lines that know Unicode would cut an event at these.
TEST_F(ChatWritersTest, NoFrameHoldsALineBreakOfUnicode) {
  AnswerHead head = Head();
  head.model = kMarks;
  TestSink sink;
  const ChatForm form{.usage_frames = UsageFrames::kLastChunk};
  ChatStreamWriter writer(head, form), broken(head, form);
  writer.Delta(Text(kMarks), sink);
  broken.Fail({.status = 503, .message = kMarks, .param = kMarks}, sink);
  for (const char* mark : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    EXPECT_EQ(sink.bytes().find(mark), std::string::npos);
  }
  const std::vector<json> events = Events(sink.bytes());
  EXPECT_EQ(events[1]["choices"][0]["delta"]["content"], kMarks);
  EXPECT_EQ(events[1]["model"], kMarks);
  EXPECT_EQ(events[2]["error"]["message"], kMarks);
}

TEST_F(ChatWritersTest, AWholeAnswer) {
  ChatWholeWriter writer(Head(), {});
  TestSink sink;
  writer.Delta(Text("te"), sink);
  writer.Delta(Text("xt"), sink);
  EXPECT_EQ(sink.bytes(), "") << "the choices' texts stand one after another";
  writer.End(End(), sink);
  writer.Close(kUsage, sink);
  const json body = json::parse(sink.bytes());
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"], json::parse(R"({"role": "assistant", "content": "text"})"));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(body["choices"][0].contains("logprobs"));
  EXPECT_EQ(body["usage"]["prompt_tokens"], 15);
}

// ---- several choices ----

TEST_F(ChatWritersTest, ChoicesAreToldApartAndOneUsageEndsThem) {
  ChatStreamWriter writer(Head(2), {});
  TestSink sink;
  writer.Delta(Text("b", 1), sink);
  writer.Delta(Text("a", 0), sink);
  writer.End(End(1, Ending::Kind::kBudget), sink);
  writer.Delta(Text("a", 0), sink);
  writer.End(End(0), sink);
  writer.Close(kUsage, sink);
  const std::vector<json> events = Events(sink.bytes());
  std::vector<std::string> texts(2), finish(2);
  int usages = 0, roles = 0;
  for (const json& event : events) {
    if (event == "[DONE]") continue;
    usages += event.contains("usage");
    const json& choice = event["choices"][0];
    const auto index = choice["index"].get<size_t>();
    roles += choice["delta"].contains("role");
    texts[index] += choice["delta"].value("content", "");
    if (choice["finish_reason"].is_string()) finish[index] = choice["finish_reason"];
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"aa", "b"}));
  EXPECT_EQ(finish, (std::vector<std::string>{"stop", "length"}));
  EXPECT_EQ(roles, 2);
  EXPECT_EQ(usages, 1);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_TRUE(events[events.size() - 2].contains("usage"));
  uint32_t of_one = 0;
  for (const Positions& positions : sink.TakeDelivered())
    of_one += positions.choice == 1 ? positions.count : 0;
  EXPECT_EQ(of_one, 4u);
}

TEST_F(ChatWritersTest, AWholeAnswerOfSeveralChoices) {
  ChatWholeWriter writer(Head(2), {});
  TestSink sink;
  writer.Delta(Text("b", 1), sink);
  writer.Delta(Text("a", 0), sink);
  writer.End(End(1, Ending::Kind::kLength), sink);
  writer.Delta(Text("a", 0), sink);
  writer.End(End(0), sink);
  writer.Close(kUsage, sink);
  const json body = json::parse(sink.bytes());
  ASSERT_EQ(body["choices"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(body["choices"][i]["index"], i);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "aa");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "b");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "length");
  std::vector<uint32_t> counts(2);
  for (const Positions& positions : sink.TakeDelivered()) counts[positions.choice] += positions.count;
  EXPECT_EQ(counts, (std::vector<uint32_t>{5, 4}));
}

// ---- logprobs ----

TEST_F(ChatWritersTest, AnAnswerWithoutTextHasNoEntriesAndStillItsLogprobs) {
  logprobs_ = true;
  ChatWholeWriter writer(Head(), {});
  TestSink sink;
  writer.End(End(), sink);
  writer.Close(kUsage, sink);
  EXPECT_EQ(json::parse(sink.bytes())["choices"][0]["logprobs"]["content"], json::array());
}

TEST_F(ChatWritersTest, LogprobsHaveEachTokensOwnBytes) {
  logprobs_ = true;
  const std::vector<TokenId> ids = testing::TinyIds("\xC3\xA9");
  Piece piece{.choice = 0, .text = "é", .positions = 2};
  piece.tokens = {{.token = {ids[0], -0.5f}, .top = {{ids[0], -0.5f}, {ids[1], -9999}}},
                  {.token = {ids[1], -1.25f}}};
  TestSink streamed, whole;
  ChatStreamWriter stream_writer(Head(), {});
  stream_writer.Delta(piece, streamed);
  ChatWholeWriter whole_writer(Head(), {});
  whole_writer.Delta(piece, whole);
  whole_writer.End(End(), whole);
  whole_writer.Close(kUsage, whole);
  const json logprobs = Events(streamed.bytes())[1]["choices"][0]["logprobs"];
  EXPECT_EQ(json::parse(whole.bytes())["choices"][0]["logprobs"], logprobs);
  ASSERT_EQ(logprobs["content"].size(), 2u);
  const json& first = logprobs["content"][0];
  EXPECT_EQ(first["bytes"], json::parse("[195]"));
  EXPECT_EQ(first["token"], "\xEF\xBF\xBD") << "half a character";
  EXPECT_EQ(first["logprob"], -0.5);
  EXPECT_EQ(first["top_logprobs"][1]["logprob"], -9999);
  EXPECT_EQ(first["top_logprobs"][1]["bytes"], json::parse("[169]"));
  EXPECT_EQ(logprobs["content"][1]["top_logprobs"], json::array());
}

// ---- reasoning ----

TEST_F(ChatWritersTest, ReasoningStandsApartOrIsLeftOutAndCountsAllTheSame) {
  const Piece thought{
      .text = "h\"m", .positions = 2, .kind = PieceKind::kReasoning, .reasoning_positions = 2};
  const Piece answer{.text = "yes", .positions = 3, .reasoning_positions = 1};
  const std::vector<std::vector<Piece>> cases = {{thought, thought, answer, answer}, {thought}, {answer}, {}};
  for (const std::vector<Piece>& pieces : cases) {
    for (const bool exclude : {false, true}) {
      const ChatForm form{.exclude_reasoning = exclude};
      ChatStreamWriter stream_writer(Head(), form);
      ChatWholeWriter whole_writer(Head(), form);
      TestSink streamed, whole;
      uint64_t positions = 3;
      std::string reasoning, content;
      for (const Piece& piece : pieces) {
        stream_writer.Delta(piece, streamed);
        whole_writer.Delta(piece, whole);
        positions += piece.positions;
        if (piece.kind == PieceKind::kContent) content += piece.text;
        if (piece.kind == PieceKind::kReasoning && !exclude) reasoning += piece.text;
      }
      stream_writer.End(End(), streamed);
      whole_writer.End(End(), whole);
      stream_writer.Close(kUsage, streamed);
      whole_writer.Close(kUsage, whole);
      EXPECT_EQ(FieldOfStream(streamed.bytes(), "content").text, content);
      EXPECT_EQ(FieldOfWhole(whole.bytes(), "content").text, content);
      EXPECT_TRUE(FieldOfWhole(whole.bytes(), "content").is_there) << "never null, however little there is";
      for (const Field& field : {FieldOfStream(streamed.bytes(), "reasoning_content"),
                                 FieldOfWhole(whole.bytes(), "reasoning_content")}) {
        EXPECT_EQ(field.text, reasoning);
        EXPECT_EQ(field.is_there, !reasoning.empty());
      }
      EXPECT_EQ(Delivered(streamed), positions);
      EXPECT_EQ(Delivered(whole), positions);
    }
  }
}

TEST_F(ChatWritersTest, UsageSaysWhatOfItWasReasoning) {
  Usage usage = kUsage;
  usage.reasoning_tokens = 7;
  const json parsed = json::parse(UsageJson(usage));
  EXPECT_EQ(parsed["completion_tokens"], 16);
  EXPECT_EQ(parsed["completion_tokens_details"]["reasoning_tokens"], 7);
}

TEST_F(ChatWritersTest, ALoopIsALengthWithItsDetail) {
  ChatStreamWriter stream_writer(Head(), {});
  ChatWholeWriter whole_writer(Head(), {});
  TestSink streamed, whole;
  ChoiceEnd end = End(0, Ending::Kind::kLength);
  end.loop = true;
  stream_writer.End(end, streamed);
  stream_writer.Close(kUsage, streamed);
  whole_writer.End(end, whole);
  whole_writer.Close(kUsage, whole);
  for (const json& choice :
       {Events(streamed.bytes())[1]["choices"][0], json::parse(whole.bytes())["choices"][0]}) {
    EXPECT_EQ(choice["finish_reason"], "length");
    EXPECT_EQ(choice["finish_details"], json::parse(R"({"type": "loop"})"));
  }
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

TEST(CostUsdTest, ReadsBackAsTheLedgersIntegerWithDecimal) {
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
