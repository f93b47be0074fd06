#include "gateway/generation/answer_buffer.h"

#include <gtest/gtest.h>

#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {
namespace {

using testing::kTinyEos;
using testing::TinyIds;

constexpr uint64_t kPlenty = 1000;

class AnswerBufferTest : public ::testing::Test {
 protected:
  AnswerBuffer Make(std::vector<std::string> stops = {}) {
    return {*tokenizer_, std::move(stops), {kTinyEos}};
  }

  static void PushText(AnswerBuffer& buffer, const std::string& text) {
    for (const TokenId id : TinyIds(text)) buffer.Push(id);
  }
  static std::string TextOf(const Step& step) {
    std::string text;
    for (const Piece& piece : step.pieces) text += piece.text;
    return text;
  }
  static uint64_t PositionsOf(const Step& step) {
    uint64_t positions = step.ending ? step.ending->positions : 0;
    for (const Piece& piece : step.pieces) positions += piece.positions;
    return positions;
  }

  const std::unique_ptr<const Tokenizer> tokenizer_ = *Tokenizer::Create(testing::TinyTokenizerJson(), "{}");
};

TEST_F(AnswerBufferTest, EveryTokenCountsOnceAndTheEndTokenHasNoText) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "hi");
  buffer.Push(kTinyEos);
  buffer.Finish(Ending::Kind::kStop);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "hi");
  EXPECT_EQ(PositionsOf(step), 3u);
  ASSERT_TRUE(step.ending);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kStop);
  EXPECT_EQ(step.ending->reason, v1::SETTLE_COMPLETED);
  EXPECT_TRUE(buffer.Take(kPlenty, false).empty()) << "the ending comes out once";
}

TEST_F(AnswerBufferTest, ACharacterOverSeveralTokensIsOnePieceThatCountsThemAll) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "\xF0\x9F\x98");
  EXPECT_TRUE(buffer.Take(kPlenty, false).empty());
  PushText(buffer, "\x80");
  const Step step = buffer.Take(kPlenty, false);
  ASSERT_EQ(step.pieces.size(), 1u);
  EXPECT_EQ(step.pieces[0].text, "\xF0\x9F\x98\x80");
  EXPECT_EQ(step.pieces[0].positions, 4u);
}

TEST_F(AnswerBufferTest, AStopStringOverTokensIsCutAndItsLastTokenIsTheLastThatCounts) {
  AnswerBuffer buffer = Make({"END"});
  PushText(buffer, "abEN");
  EXPECT_EQ(TextOf(buffer.Take(kPlenty, false)), "ab");
  PushText(buffer, "Dxyz");
  EXPECT_TRUE(buffer.ended());
  EXPECT_EQ(buffer.tokens(), 5u);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "");
  EXPECT_EQ(PositionsOf(step), 3u);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kStop);
}

TEST_F(AnswerBufferTest, TextThatOnlyBeganAStopComesOutAtTheEnd) {
  AnswerBuffer buffer = Make({"END"});
  PushText(buffer, "aEN");
  buffer.Finish(Ending::Kind::kLength);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "aEN");
  EXPECT_EQ(PositionsOf(step), 3u);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kLength);
}

TEST_F(AnswerBufferTest, NeverGivesMoreThanTheRoom) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abcd");
  buffer.Push(kTinyEos);
  buffer.Finish(Ending::Kind::kStop);
  EXPECT_TRUE(buffer.Take(0, false).empty());
  EXPECT_EQ(TextOf(buffer.Take(3, false)), "abc");
  const Step last_text = buffer.Take(1, false);
  EXPECT_EQ(TextOf(last_text), "d");
  EXPECT_FALSE(last_text.ending) << "the end token needs room too";
  EXPECT_TRUE(buffer.Take(1, false).ending);
}

TEST_F(AnswerBufferTest, OutOfBudgetFinishesTheRoomThenEnds) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abc");
  const Step cut = buffer.Take(2, true);
  EXPECT_EQ(TextOf(cut), "ab");
  EXPECT_EQ(cut.ending->kind, Ending::Kind::kBudget);
  EXPECT_EQ(cut.ending->reason, v1::SETTLE_BUDGET);

  AnswerBuffer waiting = Make();
  EXPECT_TRUE(waiting.Take(2, true).empty()) << "the worker may still fill the room";
  PushText(waiting, "xy");
  EXPECT_EQ(waiting.Take(2, true).ending->kind, Ending::Kind::kBudget);

  AnswerBuffer complete = Make();
  PushText(complete, "x");
  complete.Finish(Ending::Kind::kLength);
  EXPECT_EQ(complete.Take(1, true).ending->kind, Ending::Kind::kLength) << "it just fitted";
}

TEST_F(AnswerBufferTest, AnErrorWaitsForNoRoomAndComesOnce) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abc");
  buffer.Fail(absl::UnavailableError("gone"), v1::SETTLE_SERVER_ERROR);
  buffer.Fail(absl::InternalError("later"), v1::SETTLE_STOPPED);
  buffer.Finish(Ending::Kind::kStop);
  const Step step = buffer.Take(2, false);
  EXPECT_EQ(TextOf(step), "ab");
  EXPECT_EQ(step.ending->kind, Ending::Kind::kFailed);
  EXPECT_EQ(step.ending->error.message(), "gone");
  EXPECT_EQ(step.ending->positions, 0u);
  EXPECT_TRUE(buffer.Take(kPlenty, false).empty());
}

TEST_F(AnswerBufferTest, AFailureOvertakesAnEndThatWaitsForRoom) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abc");
  buffer.Finish(Ending::Kind::kStop);
  EXPECT_TRUE(buffer.Take(0, false).empty());
  v1::Refusal refusal;
  refusal.set_reason(v1::REFUSAL_BUDGET);
  buffer.Refuse(refusal, v1::SETTLE_ABANDONED);
  const Step step = buffer.Take(0, false);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kRefused);
  EXPECT_EQ(PositionsOf(step), 0u);
}

}  // namespace
}  // namespace quire::gateway
