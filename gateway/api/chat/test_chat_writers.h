// For tests only: what chat's writers are given, and what a client makes of what they say.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/chat_json.h"
#include "gateway/api/chat/chat_stream_writer.h"
#include "gateway/api/chat/chat_whole_writer.h"
#include "gateway/api/pipeline/test_sink.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {
using nlohmann::json;

inline constexpr char kDone[] = "data: [DONE]\n\n";
inline constexpr char kMarks[] = "a\xC2\x85\xE2\x80\xA8\xE2\x80\xA9z";  // line breaks of Unicode
inline const Usage kUsage{.counts = {.prompt = 15, .cached = 4, .completion = 16}, .cost_nano_usd = 3525};

// Every event's data of a stream, parsed but for [DONE].
inline std::vector<json> Events(const std::string& stream) {
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

class ChatWritersTest : public ::testing::Test {
 protected:
  AnswerHead Head(uint32_t choices = 1) const {
    return {.id = RequestId{},
            .model = "m\"x",
            .created_unix_s = 1700000000,
            .choices = choices,
            .logprobs = logprobs_,
            .text = text_};
  }
  static Piece Text(const std::string& text, uint32_t choice = 0) {
    return {.choice = choice, .text = text, .positions = 1};
  }
  static ChoiceEnd End(uint32_t choice = 0, Ending::Kind kind = Ending::Kind::kStop) {
    return {.choice = choice, .kind = kind, .positions = 3};
  }
  // The frames of an answer of one choice.
  std::vector<TestSink::Frame> Stream(UsageFrames usage_frames, const std::vector<std::string>& texts,
                                      Ending::Kind kind = Ending::Kind::kStop) const {
    ChatStreamWriter writer(Head(), {.usage_frames = usage_frames});
    TestSink sink;
    for (const std::string& text : texts) writer.Delta(Text(text), sink);
    writer.End(End(0, kind), sink);
    writer.Close(kUsage, sink);
    return sink.frames();
  }
  static std::string Joined(const std::vector<TestSink::Frame>& frames) {
    std::string all;
    for (const TestSink::Frame& frame : frames) all += frame.bytes;
    return all;
  }

  bool logprobs_ = false;
  const std::shared_ptr<const TextModel> text_ = *TextModel::Create(testing::TinyBundle());
};

// What a client puts together: of choice 0 the text of that field, and whether it was ever there.
struct Field {
  std::string text;
  bool is_there = false;
};
inline Field FieldOfStream(const std::string& stream, const char* name) {
  Field field;
  for (const json& event : Events(stream)) {
    if (event == "[DONE]" || event["choices"].empty()) continue;
    const json& delta = event["choices"][0]["delta"];
    field.is_there |= delta.contains(name);
    field.text += delta.value(name, "");
  }
  return field;
}
inline Field FieldOfWhole(const std::string& body, const char* name) {
  const json message = json::parse(body)["choices"][0]["message"];
  return {message.value(name, ""), message.contains(name)};
}
inline uint64_t Delivered(TestSink& sink) {
  uint64_t all = 0;
  for (const Positions& positions : sink.TakeDelivered()) all += positions.count;
  return all;
}

}  // namespace quire::gateway
