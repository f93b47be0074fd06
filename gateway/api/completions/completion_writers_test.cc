// A prompt's scores as the writers of completions say them: some at a time, and other work of the thread in
// between; the same, whole and streamed, as if they were said at once.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>

#include "absl/strings/str_cat.h"
#include "gateway/api/completions/completion_stream_writer.h"
#include "gateway/api/completions/completion_whole_writer.h"
#include "gateway/api/pipeline/answer.h"
#include "gateway/api/pipeline/test_sink.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {
namespace {

constexpr size_t kTokens = 5 * kScoredTokensAtOnce + 7;

std::shared_ptr<const PromptScores> Scores() {
  auto scores = std::make_shared<PromptScores>(std::vector<TokenId>(kTokens, 'a'), 1);
  v1::PromptScores said;
  said.set_first_position(1);
  for (size_t i = 1; i < kTokens; ++i) {
    said.add_logprobs(-static_cast<float>(i));
    said.add_top_logprobs()->add_ids('b');
    said.mutable_top_logprobs()->rbegin()->add_logprobs(-0.5f);
  }
  EXPECT_TRUE(scores->Append(said));
  return scores;
}

std::unique_ptr<AnswerWriter> WriterOfTwoChoices(bool stream) {
  AnswerHead head;
  head.choices = 2;
  head.logprobs = true;
  head.text = *TextModel::Create(testing::TinyBundle());
  CompletionForm form;
  form.echoes.emplace_back();
  if (stream) return std::make_unique<CompletionStreamWriter>(head, std::move(form));
  return std::make_unique<CompletionWholeWriter>(std::move(head), std::move(form));
}

// How often other work of a thread ran while the echo of the choice was said.
int OthersMeanwhile(AnswerWriter& writer, uint32_t choice, Sink& sink) {
  boost::asio::io_context io;
  int others = 0, meanwhile = 0;
  std::function<void()> other = [&] {
    if (++others < 100) boost::asio::post(io, other);
  };
  boost::asio::post(io, other);
  const auto say = [&]() -> boost::asio::awaitable<void> {
    const bool stays = co_await SayRestOfEcho(writer, choice, 3, sink);
    EXPECT_TRUE(stays);
    meanwhile = others;
  };
  boost::asio::co_spawn(io, say, boost::asio::detached);
  io.run();
  return meanwhile;
}

TEST(CompletionWritersTest, OtherWorkOfTheThreadGoesOnBetweenScores) {
  for (const bool stream : {true, false}) {
    SCOPED_TRACE(stream);
    const std::unique_ptr<AnswerWriter> writer = WriterOfTwoChoices(stream);
    TestSink sink;
    writer->Scores({.choice = 0, .scores = Scores()});
    for (const uint32_t choice : {0u, 1u}) {
      ASSERT_TRUE(writer->SayEcho(choice, 3, sink));
      const int meanwhile = OthersMeanwhile(*writer, choice, sink);
      EXPECT_GE(meanwhile, 5);
      EXPECT_LT(meanwhile, 100);
      EXPECT_FALSE(writer->SayEcho(choice, 3, sink)) << "all is said";
      writer->Delta({.choice = choice, .text = "xyz", .positions = 3}, sink);
      writer->End({.choice = choice, .kind = Ending::Kind::kStop, .positions = 1}, sink);
    }
    writer->Close({}, sink);
    uint32_t positions = 0;
    for (const TestSink::Frame& frame : sink.frames()) positions += frame.positions;
    EXPECT_EQ(positions, 8u) << "each counts once";
    const std::string last = absl::StrCat(-static_cast<int>(kTokens - 1)), bytes = sink.bytes();
    EXPECT_NE(bytes.find(last), bytes.rfind(last)) << "both choices have all scores";
  }
}

}  // namespace
}  // namespace quire::gateway
