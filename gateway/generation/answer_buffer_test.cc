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
  AnswerBuffer Make(std::vector<std::string> stops = {}, uint32_t choices = 1) {
    return {*tokenizer_, {.stops = std::move(stops), .stop_ids = {kTinyEos}}, choices};
  }

  static void PushText(AnswerBuffer& buffer, const std::string& text, uint32_t choice = 0) {
    for (const TokenId id : TinyIds(text)) buffer.Push(choice, id);
  }
  static std::string TextOf(const Step& step) {
    std::string text;
    for (const Piece& piece : step.pieces) text += piece.text;
    return text;
  }
  static uint64_t PositionsOf(const Step& step) {
    uint64_t positions = 0;
    for (const ChoiceEnd& end : step.ends) positions += end.positions;
    for (const Piece& piece : step.pieces) positions += piece.positions;
    return positions;
  }

  const std::unique_ptr<const Tokenizer> tokenizer_ = *Tokenizer::Create(testing::TinyTokenizerJson(), "{}");
};

TEST_F(AnswerBufferTest, EveryTokenCountsOnceAndTheEndTokenHasNoText) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "hi");
  buffer.Push(0, kTinyEos);
  buffer.Finish(0, Ending::Kind::kStop);
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
  EXPECT_EQ(buffer.choice(0).tokens(), 5u);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "");
  EXPECT_EQ(PositionsOf(step), 3u);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kStop);
}

TEST_F(AnswerBufferTest, TextThatOnlyBeganAStopComesOutAtTheEnd) {
  AnswerBuffer buffer = Make({"END"});
  PushText(buffer, "aEN");
  buffer.Finish(0, Ending::Kind::kLength);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "aEN");
  EXPECT_EQ(PositionsOf(step), 3u);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kLength);
}

TEST_F(AnswerBufferTest, NeverGivesMoreThanTheRoom) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abcd");
  buffer.Push(0, kTinyEos);
  buffer.Finish(0, Ending::Kind::kStop);
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
  complete.Finish(0, Ending::Kind::kLength);
  EXPECT_EQ(complete.Take(1, true).ending->kind, Ending::Kind::kLength) << "it just fitted";
}

TEST_F(AnswerBufferTest, AnErrorWaitsForNoRoomAndComesOnce) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abc");
  buffer.Fail(absl::UnavailableError("gone"), v1::SETTLE_SERVER_ERROR);
  buffer.Fail(absl::InternalError("later"), v1::SETTLE_STOPPED);
  buffer.Finish(0, Ending::Kind::kStop);
  const Step step = buffer.Take(2, false);
  EXPECT_EQ(TextOf(step), "ab");
  EXPECT_EQ(step.ending->kind, Ending::Kind::kFailed);
  EXPECT_EQ(step.ending->error.message(), "gone");
  EXPECT_TRUE(step.ends.empty()) << "the choice has not ended";
  EXPECT_TRUE(buffer.Take(kPlenty, false).empty());
}

TEST_F(AnswerBufferTest, AFailureOvertakesAnEndThatWaitsForRoom) {
  AnswerBuffer buffer = Make();
  PushText(buffer, "abc");
  buffer.Finish(0, Ending::Kind::kStop);
  EXPECT_TRUE(buffer.Take(0, false).empty());
  v1::Refusal refusal;
  refusal.set_reason(v1::REFUSAL_BUDGET);
  buffer.Refuse(refusal, v1::SETTLE_ABANDONED);
  const Step step = buffer.Take(0, false);
  EXPECT_EQ(step.ending->kind, Ending::Kind::kRefused);
  EXPECT_EQ(PositionsOf(step), 0u);
}

// ---- several choices ----

TEST_F(AnswerBufferTest, EachChoiceHasItsOwnTextAndEndAndTheRequestEndsWithTheLast) {
  AnswerBuffer buffer = Make({"END"}, 3);
  PushText(buffer, "one", 0);
  PushText(buffer, "twoENDx", 1);
  PushText(buffer, "three", 2);
  buffer.Push(2, kTinyEos);
  buffer.Finish(2, Ending::Kind::kStop);
  EXPECT_FALSE(buffer.ended());
  const Step step = buffer.Take(kPlenty, false);
  std::vector<std::string> texts(3);
  for (const Piece& piece : step.pieces) texts[piece.choice] += piece.text;
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "two", "three"}));
  ASSERT_EQ(step.ends.size(), 2u);
  EXPECT_EQ(step.ends[0].choice, 1u);
  EXPECT_EQ(step.ends[0].positions, 3u) << "the stop string's tokens";
  EXPECT_EQ(step.ends[0].stop, 0u);
  EXPECT_EQ(step.ends[1].choice, 2u);
  EXPECT_EQ(step.ends[1].positions, 1u);
  EXPECT_EQ(step.ends[1].stop, std::nullopt);
  EXPECT_FALSE(step.ending);
  buffer.Finish(0, Ending::Kind::kLength);
  EXPECT_TRUE(buffer.ended());
  const Step last = buffer.Take(kPlenty, false);
  ASSERT_TRUE(last.ending);
  EXPECT_EQ(last.ending->kind, Ending::Kind::kLength) << "one was cut";
  EXPECT_EQ(last.ending->reason, v1::SETTLE_COMPLETED);
}

TEST_F(AnswerBufferTest, NoChoiceTakesAllTheRoomForEver) {
  AnswerBuffer buffer = Make({}, 2);
  std::vector<int> taken(2);
  for (int round = 0; round < 10; ++round) {
    PushText(buffer, "abc", 0);
    PushText(buffer, "abc", 1);
    for (const Piece& piece : buffer.Take(3, false).pieces) ++taken[piece.choice];
  }
  EXPECT_EQ(taken, (std::vector<int>{15, 15}));
}

TEST_F(AnswerBufferTest, WhereTheBudgetEndsAllThatGoesOnIsCut) {
  AnswerBuffer buffer = Make({}, 3);
  PushText(buffer, "ab", 0);
  buffer.Finish(0, Ending::Kind::kStop);
  PushText(buffer, "cd", 1);
  uint64_t left = 3;
  std::vector<Ending::Kind> kinds(3);
  std::optional<Ending> ending;
  for (int round = 0; round < 3 && !ending; ++round) {
    const Step step = buffer.Take(left, true);
    left -= PositionsOf(step);
    for (const ChoiceEnd& end : step.ends) kinds[end.choice] = end.kind;
    ending = step.ending;
  }
  ASSERT_TRUE(ending);
  EXPECT_EQ(ending->reason, v1::SETTLE_BUDGET);
  EXPECT_EQ(kinds,
            (std::vector<Ending::Kind>{Ending::Kind::kStop, Ending::Kind::kBudget, Ending::Kind::kBudget}));
  EXPECT_EQ(left, 0u);
}

TEST_F(AnswerBufferTest, AFailureOvertakesTheEndsOfChoices) {
  AnswerBuffer buffer = Make({}, 2);
  PushText(buffer, "ab", 0);
  buffer.Finish(0, Ending::Kind::kStop);
  buffer.Fail(absl::UnavailableError("gone"), v1::SETTLE_SERVER_ERROR);
  const Step step = buffer.Take(kPlenty, false);
  EXPECT_EQ(TextOf(step), "ab");
  EXPECT_TRUE(step.ends.empty());
  EXPECT_EQ(step.ending->kind, Ending::Kind::kFailed);
}

// ---- logprobs ----

TEST_F(AnswerBufferTest, ASpecialTokenIsNoTextAndHasNoEntry) {
  AnswerBuffer buffer = Make();
  constexpr TokenId kSpecial = 256;
  ASSERT_TRUE(tokenizer_->IsSpecial(kSpecial));
  buffer.Push(0, kSpecial, SampledToken{.token = {kSpecial, -1}});
  buffer.Push(0, TinyIds("a")[0], SampledToken{.token = {TinyIds("a")[0], -2}});
  const Step step = buffer.Take(kPlenty, false);
  ASSERT_EQ(step.pieces.size(), 1u);
  EXPECT_EQ(step.pieces[0].positions, 2u);
  ASSERT_EQ(step.pieces[0].tokens.size(), 1u);
  EXPECT_EQ(step.pieces[0].tokens[0].token.logprob, -2);
}

TEST_F(AnswerBufferTest, APieceHasTheTokensOfItsPositionsAndAnEndHasNone) {
  AnswerBuffer buffer = Make();
  const std::vector<TokenId> ids = TinyIds("\xF0\x9F\x98\x80z");
  for (size_t i = 0; i < ids.size(); ++i) {
    buffer.Push(0, ids[i],
                SampledToken{.token = {ids[i], -1.0f * static_cast<float>(i)}, .top = {{1, -0.5f}}});
  }
  buffer.Push(0, kTinyEos, SampledToken{.token = {kTinyEos, -9}});
  buffer.Finish(0, Ending::Kind::kStop);
  const Step step = buffer.Take(kPlenty, false);
  ASSERT_EQ(step.pieces.size(), 2u);
  ASSERT_EQ(step.pieces[0].tokens.size(), 4u);
  ASSERT_EQ(step.pieces[1].tokens.size(), 1u);
  EXPECT_EQ(step.pieces[1].tokens[0].token.id, ids[4]);
  EXPECT_EQ(step.pieces[1].tokens[0].token.logprob, -4);
  EXPECT_EQ(step.pieces[1].tokens[0].top[0].id, 1);
}

}  // namespace
}  // namespace quire::gateway
