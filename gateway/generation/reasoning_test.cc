// Reasoning told apart from content, through the whole AnswerBuffer: at every boundary of tokens.
#include <gtest/gtest.h>

#include <random>

#include "gateway/generation/answer_buffer.h"
#include "gateway/generation/testing/tiny_text.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {
namespace {

using testing::kTinyEos;
using testing::TinyIds;
using Place = ReasoningStart::Place;

constexpr uint64_t kAllOfIt = 10'000;
constexpr char kAnswer[] = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8E\x88\n\nok\n";

// An answer as a client has it.
struct Said {
  std::string reasoning, content;
  uint64_t positions = 0, reasoning_positions = 0;
  std::vector<TokenId> reasoning_ids, content_ids;  // of the logprobs
  std::optional<ChoiceEnd> end;

  void Add(const Step& step) {
    for (const Piece& piece : step.pieces) {
      const bool is_reasoning = piece.kind == PieceKind::kReasoning;
      EXPECT_TRUE(!is_reasoning || content.empty()) << "reasoning after content";
      EXPECT_LE(piece.reasoning_positions, piece.positions);
      (is_reasoning ? reasoning : content) += piece.text;
      positions += piece.positions;
      reasoning_positions += piece.reasoning_positions;
      for (const SampledToken& token : piece.tokens) {
        (is_reasoning ? reasoning_ids : content_ids).push_back(token.token.id);
      }
    }
    for (const ChoiceEnd& ended : step.ends) {
      end = ended;
      positions += ended.positions;
      reasoning_positions += ended.reasoning_positions;
    }
  }
  bool operator==(const Said& other) const {
    return reasoning == other.reasoning && content == other.content && positions == other.positions &&
           reasoning_positions == other.reasoning_positions && reasoning_ids == other.reasoning_ids &&
           content_ids == other.content_ids && end->kind == other.end->kind;
  }
};

class ReasoningTest : public ::testing::Test {
 protected:
  const TokenId open_ = *text_->think_start_id(), close_ = *text_->think_end_id();

  AnswerBuffer Make(ReasoningStart start, bool separate = true, std::vector<std::string> stops = {}) const {
    ChoiceRules rules{.stops = std::move(stops), .stop_ids = {kTinyEos}};
    rules.reasoning = {.start_id = open_, .end_id = close_, .start = start, .separate = separate};
    return {text_->tokenizer(), rules, 1};
  }
  // `before` </think> `after`
  std::vector<TokenId> Ids(const std::string& before, const std::string& after) const {
    std::vector<TokenId> ids = TinyIds(before);
    ids.push_back(close_);
    for (const TokenId id : TinyIds(after)) ids.push_back(id);
    return ids;
  }
  // `every`: whether what there is is taken after each token, or all of it at the end.
  static Said Say(AnswerBuffer buffer, const std::vector<TokenId>& ids, bool every = true,
                  Ending::Kind end = Ending::Kind::kLength) {
    Said said;
    for (const TokenId id : ids) {
      buffer.Push(0, id, SampledToken{.token = {id, -1}});
      if (every) said.Add(buffer.Take(kAllOfIt, false));
    }
    buffer.Finish(0, end);
    said.Add(buffer.Take(kAllOfIt, false));
    EXPECT_TRUE(said.end);
    return said;
  }

  static inline const std::shared_ptr<const TextModel> text_ =
      *TextModel::Create(testing::TinyBundleWith({"<think>", "</think>"}));
  static constexpr ReasoningStart kInside{.place = Place::kReasoning}, kFree{.place = Place::kModelsChoice};
};

// Wherever </think> stands among the tokens of a text, in the midst of a character too.
TEST_F(ReasoningTest, IsSplitAtEveryTokenBoundaryStreamedOrWhole) {
  const std::string text = kAnswer;
  for (size_t at = 0; at <= text.size(); ++at) {
    const std::vector<TokenId> ids = Ids(text.substr(0, at), text.substr(at));
    const Said said = Say(Make(kInside), ids);
    EXPECT_TRUE(said == Say(Make(kInside), ids, /*every=*/false)) << at;
    const auto as_text = [&](const std::string& bytes) {  // as Hugging Face decodes them
      Detokenizer detokenizer(text_->tokenizer(), true);
      std::string out;
      for (const TokenId id : TinyIds(bytes)) out += detokenizer.Push(id);
      return out + detokenizer.Flush();
    };
    std::string rest = as_text(text.substr(at));
    rest.erase(0, std::min(rest.find_first_not_of('\n'), rest.size()));
    EXPECT_EQ(said.reasoning, as_text(text.substr(0, at))) << at;
    EXPECT_EQ(said.content, rest) << at;
    EXPECT_EQ(said.positions, ids.size());
    EXPECT_EQ(said.reasoning_positions, at + 1) << "up to and with </think>";
    EXPECT_EQ(said.reasoning_ids, TinyIds(text.substr(0, at)));
    const Said raw = Say(Make(kInside, /*separate=*/false), ids);
    EXPECT_EQ(raw.reasoning, "");
    EXPECT_EQ(raw.content, as_text(text.substr(0, at)) + "</think>" + as_text(text.substr(at))) << at;
    EXPECT_EQ(raw.content_ids, ids) << "the tags are text there";
    EXPECT_EQ(raw.positions, said.positions);
    EXPECT_EQ(raw.reasoning_positions, said.reasoning_positions);
  }
}

TEST_F(ReasoningTest, NewlinesBehindATagAreItsAndNoOthers) {
  const Said said = Say(Make(kInside), Ids("\nhm\n", "\n\n\na\n\nb\n"));
  EXPECT_EQ(said.reasoning, "\nhm\n");
  EXPECT_EQ(said.content, "a\n\nb\n");
  EXPECT_EQ(said.content_ids, TinyIds("a\n\nb\n")) << "what has no text has no entry";
  EXPECT_EQ(Say(Make({.place = Place::kReasoning, .after_tag = true}), Ids("\n\nhm", "a")).reasoning, "hm")
      << "the prompt ends with <think> itself";
  EXPECT_EQ(Say(Make({.place = Place::kContent, .after_tag = true}), TinyIds("\n\na")).content, "a");
  EXPECT_EQ(Say(Make({.place = Place::kContent}), TinyIds("\n\na")).content, "\n\na");
}

TEST_F(ReasoningTest, AModelMayOpenItWithItsFirstTokenOnly) {
  std::vector<TokenId> ids = Ids("\nhm", "\n\nyes");
  EXPECT_EQ(Say(Make(kFree), ids).reasoning, "");
  EXPECT_EQ(Say(Make(kFree), ids).reasoning_positions, 0u);
  ids.insert(ids.begin(), open_);
  for (const ReasoningStart start : {kFree, kInside}) {
    const Said said = Say(Make(start), ids);
    EXPECT_EQ(said.reasoning, "hm");
    EXPECT_EQ(said.content, "yes");
    EXPECT_EQ(said.reasoning_positions, 5u);
    EXPECT_EQ(Say(Make(start, false), ids).content, "<think>\nhm</think>\n\nyes") << "as the model wrote it";
  }
  EXPECT_EQ(Say(Make({}), ids).reasoning, "") << "the prompt has closed it, or there are no such tokens";
  ids.insert(ids.begin(), 'x');
  EXPECT_EQ(Say(Make(kFree), ids).reasoning, "");
}

TEST_F(ReasoningTest, OnlyTheFirstEndCounts) {
  std::vector<TokenId> ids = Ids("hm", "a");
  for (const TokenId id : {close_, open_, TokenId{'b'}, close_, TokenId{'c'}}) ids.push_back(id);
  const Said said = Say(Make(kInside), ids);
  EXPECT_EQ(said.content, "a</think><think>b</think>c");
  EXPECT_EQ(said.reasoning_positions, 3u);
}

TEST_F(ReasoningTest, WhatIsNeverClosedIsReasoningToItsEnd) {
  std::vector<TokenId> ids = TinyIds("hm\xF0\x9F");
  ids.push_back(kTinyEos);
  const Said said = Say(Make(kInside), ids, true, Ending::Kind::kStop);
  EXPECT_EQ(said.reasoning, "hm\xEF\xBF\xBD");
  EXPECT_EQ(said.content, "");
  EXPECT_EQ(said.reasoning_positions, ids.size());
  EXPECT_EQ(said.end->reasoning_positions, 0u) << "the end token came with the half character";
}

TEST_F(ReasoningTest, StopStringsAreLookedForInContentOnly) {
  for (const bool separate : {true, false}) {
    const Said said = Say(Make(kInside, separate, {"END", "k>"}), Ids("the END, EN", "D, ENDx"));
    EXPECT_EQ(said.content, separate ? "D, " : "the END, EN</think>D, ");
    EXPECT_EQ(said.end->kind, Ending::Kind::kStop);
    EXPECT_EQ(said.positions, 18u) << "the same tokens, however they are said";
    const Said lines = Say(Make(kInside, separate, {"\n"}), Ids("a\n", "\n\nb\nc"));
    EXPECT_EQ(lines.content, separate ? "b" : "a\n</think>\n\nb");
    EXPECT_EQ(lines.positions, 7u) << "the tag's newlines are no stop string";
  }
}

// A cut by the budget drops whole pieces: what is counted is what was handed out.
TEST_F(ReasoningTest, CountsNoMoreThanWhatWasHandedOut) {
  const std::vector<TokenId> ids = Ids("abc", "\nde");
  for (uint64_t room = 0; room <= ids.size(); ++room) {
    AnswerBuffer buffer = Make(kInside);
    for (const TokenId id : ids) buffer.Push(0, id);
    Said said;
    const Step step = buffer.Take(room, true);
    said.Add(step);
    EXPECT_LE(said.positions, room);
    EXPECT_EQ(said.reasoning_positions, std::min<uint64_t>(said.positions, 4)) << room;
    EXPECT_TRUE(step.ending) << room;
  }
}

TEST_F(ReasoningTest, TheLoopGuardEndsAChoiceWithAllItsText) {
  ChoiceRules rules{.stops = {}, .stop_ids = {kTinyEos}, .loop_guard = true};
  AnswerBuffer buffer(text_->tokenizer(), rules, 2);
  std::mt19937 random(1);
  for (int i = 0; i < 5000; ++i) {
    buffer.Push(0, "ab"[i % 2]);
    buffer.Push(1, static_cast<TokenId>('a' + random() % 20));
  }
  ASSERT_TRUE(buffer.choice(0).ended());
  const uint64_t made = buffer.choice(0).tokens();
  EXPECT_LT(made, 5000u);
  const Step step = buffer.Take(kAllOfIt, false);
  ASSERT_EQ(step.ends.size(), 1u) << "the other one goes on";
  EXPECT_TRUE(step.ends[0].loop);
  EXPECT_EQ(step.ends[0].kind, Ending::Kind::kLength);
  size_t bytes = 0;
  for (const Piece& piece : step.pieces) bytes += piece.choice == 0 ? piece.text.size() : 0;
  EXPECT_EQ(bytes, made);
  AnswerBuffer unguarded = Make({});
  for (int i = 0; i < 5000; ++i) unguarded.Push(0, 'a');
  EXPECT_FALSE(unguarded.ended());
}

}  // namespace
}  // namespace quire::gateway
