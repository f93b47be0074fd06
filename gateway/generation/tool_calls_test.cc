// Calls of tools through the whole AnswerBuffer: beside reasoning, stop strings, several choices, logprobs.
#include <gtest/gtest.h>

#include <optional>

#include "gateway/generation/answer_buffer.h"
#include "gateway/generation/testing/tiny_text.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {
namespace {

using testing::kTinyEos;
using testing::TinyIds;

constexpr uint64_t kAll = 100'000;
constexpr char kCallingAnswer[] =
    "See \xE2\x82\xAC.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9 "
    "END\"}}\n</tool_call>\n"
    "<tool_call>\n{\"name\": \"g\"}\n</tool_call>";

// What a client has of one choice.
struct Answer {
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;
  uint64_t positions = 0, tokens = 0;
  std::optional<ChoiceEnd> end;

  void Add(const Step& step, uint32_t choice) {
    for (const Piece& piece : step.pieces) {
      if (piece.choice != choice) continue;
      positions += piece.positions;
      tokens += piece.tokens.size();
      if (piece.kind != PieceKind::kToolCall) {
        (piece.kind == PieceKind::kContent ? content : reasoning) += piece.text;
        continue;
      }
      if (!piece.call.name.empty()) calls.emplace_back(piece.call.name, "");
      ASSERT_EQ(piece.call.index + 1, calls.size());
      calls.back().second += piece.text;
    }
    for (const ChoiceEnd& ended : step.ends) {
      if (ended.choice != choice) continue;
      end = ended;
      positions += ended.positions;
    }
  }
  bool operator==(const Answer& other) const {
    return reasoning == other.reasoning && content == other.content && calls == other.calls &&
           positions == other.positions && tokens == other.tokens && end->kind == other.end->kind &&
           end->called_tools == other.end->called_tools;
  }
};

class ToolCallsTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const TextModel> Text(bool special) {
    return *TextModel::Create(testing::TinyToolBundle(special));
  }
  static ChoiceRules Rules(bool parallel = true) {
    return {.stops = {},
            .stop_ids = {kTinyEos},
            .calls = {.form = ToolForm::kHermes, .names = {"f", "g"}, .parallel = parallel}};
  }
  // With the tags as bytes, or as the tokens that the vocabulary has for them.
  std::vector<TokenId> Ids(std::string text, bool tags = true) const {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      const TokenId tag = text.starts_with("<tool_call>") ? 258 : text.starts_with("</tool_call>") ? 259 : 0;
      const size_t bytes = tags && tag > 0 ? text_->tokenizer().BytesOf(tag).size() : 1;
      ids.push_back(bytes > 1 ? tag : static_cast<unsigned char>(text[0]));
      text.erase(0, bytes);
    }
    return ids;
  }
  // `every`: taken after each token, or all at the end.
  Answer Say(const ChoiceRules& rules, const std::vector<TokenId>& ids,
             Ending::Kind end = Ending::Kind::kStop, bool every = true) const {
    AnswerBuffer buffer(text_->tokenizer(), rules, 1);
    Answer answer;
    for (const TokenId id : ids) {
      buffer.Push(0, id, SampledToken{.token = {id, -1}});
      if (every) answer.Add(buffer.Take(kAll, false), 0);
    }
    buffer.Finish(0, end);
    answer.Add(buffer.Take(kAll, false), 0);
    EXPECT_TRUE(answer.end);
    return answer;
  }

  std::shared_ptr<const TextModel> text_ = Text(false);
};

TEST_F(ToolCallsTest, AreToldWhateverTokensTheyAreMadeOf) {
  for (const bool special : {false, true}) {
    text_ = Text(special);
    for (const bool tags : {false, true}) {
      const std::vector<TokenId> ids = Ids(kCallingAnswer, tags);
      const Answer answer = Say(Rules(), ids);
      EXPECT_EQ(answer.content, "See \xE2\x82\xAC.");
      EXPECT_EQ(answer.calls, (decltype(answer.calls){{"f", "{\"a\": \"\xC3\xA9 END\"}"}, {"g", "{}"}}));
      EXPECT_EQ(answer.positions, ids.size());
      EXPECT_EQ(answer.end->kind, Ending::Kind::kStop);
      EXPECT_TRUE(answer.end->called_tools);
      EXPECT_TRUE(answer == Say(Rules(), ids, Ending::Kind::kStop, /*every=*/false));
    }
  }
}

TEST_F(ToolCallsTest, WithoutToolsAllIsText) {
  const Answer answer = Say({.stops = {}, .stop_ids = {kTinyEos}}, Ids(kCallingAnswer));
  EXPECT_EQ(answer.content, kCallingAnswer);
  EXPECT_TRUE(answer.calls.empty());
  EXPECT_FALSE(answer.end->called_tools);
}

// Each token counts once, wherever the answer is cut; a cut one ends with length.
TEST_F(ToolCallsTest, CountEveryTokenWhereverTheyAreCut) {
  const std::vector<TokenId> ids = Ids(kCallingAnswer);
  for (size_t count = 0; count <= ids.size(); ++count) {
    const std::vector<TokenId> some(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
    for (const Ending::Kind kind : {Ending::Kind::kLength, Ending::Kind::kStop}) {
      const Answer answer = Say(Rules(), some, kind);
      EXPECT_EQ(answer.positions, count);
      EXPECT_TRUE(answer == Say(Rules(), some, kind, false)) << count;
      if (kind == Ending::Kind::kLength) {
        EXPECT_EQ(answer.end->kind, kind) << count;
      }
      EXPECT_EQ(answer.end->called_tools, answer.end->kind == Ending::Kind::kStop && !answer.calls.empty());
      for (const auto& [name, arguments] : answer.calls) {
        EXPECT_TRUE(answer.end->kind == Ending::Kind::kLength || arguments.ends_with("}")) << count;
      }
    }
  }
}

TEST_F(ToolCallsTest, NoMoreIsTakenThanThereIsRoomFor) {
  const std::vector<TokenId> ids = Ids(kCallingAnswer);
  for (uint64_t room = 0; room <= ids.size(); ++room) {
    AnswerBuffer buffer(text_->tokenizer(), Rules(), 1);
    for (const TokenId id : ids) buffer.Push(0, id);
    Answer answer;
    answer.Add(buffer.Take(room, true), 0);
    EXPECT_LE(answer.positions, room);
    // What closes the last call has no text: until the choice ends nothing waits for room.
    if (!answer.end) {
      EXPECT_LT(answer.positions, room);
      continue;
    }
    EXPECT_EQ(answer.end->kind, Ending::Kind::kBudget);
    EXPECT_FALSE(answer.end->called_tools);
  }
}

TEST_F(ToolCallsTest, StopStringsActOnTextAndNotInCalls) {
  ChoiceRules rules = Rules();
  rules.stops = {"END", "\n", "name", "}"};
  const Answer called = Say(rules, Ids(kCallingAnswer));
  EXPECT_EQ(called.calls.size(), 2u);
  EXPECT_EQ(called.content, "See \xE2\x82\xAC.");
  EXPECT_TRUE(called.end->called_tools);
  const Answer before = Say(rules, Ids(std::string("E EN END ") + kCallingAnswer));
  EXPECT_EQ(before.content, "E EN ");
  EXPECT_TRUE(before.calls.empty());
  EXPECT_FALSE(before.end->called_tools);
  EXPECT_EQ(before.positions, 8u) << "the token that completed it is the last";
  const Answer behind = Say(rules, Ids(std::string(kCallingAnswer) + "\nDone. END"));
  EXPECT_EQ(behind.content, "See \xE2\x82\xAC.");
  EXPECT_EQ(behind.calls.size(), 2u);
  EXPECT_EQ(behind.end->kind, Ending::Kind::kStop);
  // What is held for a stop string comes before the call that shows it to be none.
  EXPECT_EQ(Say(rules, Ids("an EN" + std::string(kCallingAnswer).substr(9))).content, "an EN");
}

// White space that might have stood before a call is a stop string all the same, where it did not.
TEST_F(ToolCallsTest, AStopStringOfWhiteSpaceStops) {
  ChoiceRules rules = Rules();
  rules.stops = {"\n\n"};
  for (const Ending::Kind kind : {Ending::Kind::kLength, Ending::Kind::kStop}) {
    for (const char* text : {"a\n\nb", "a\n\n", "a\n\n<tool_"}) {
      const Answer answer = Say(rules, Ids(text), kind);
      EXPECT_EQ(answer.content, "a") << text;
      EXPECT_EQ(answer.end->kind, Ending::Kind::kStop) << text;
    }
  }
}

TEST_F(ToolCallsTest, WithoutParallelCallsTheFirstEndsTheChoice) {
  const std::vector<TokenId> ids = Ids(kCallingAnswer);
  AnswerBuffer buffer(text_->tokenizer(), Rules(/*parallel=*/false), 2);
  Answer answer, other;
  size_t pushed = 0;
  while (!buffer.choice(0).ended() && pushed < ids.size()) buffer.Push(0, ids[pushed++]);
  EXPECT_EQ(text_->tokenizer().BytesOf(ids[pushed - 1]), "}");
  EXPECT_FALSE(buffer.ended()) << "the other one goes on";
  buffer.Push(1, 'x');
  buffer.Finish(1, Ending::Kind::kStop);
  const Step step = buffer.Take(kAll, false);
  answer.Add(step, 0);
  other.Add(step, 1);
  EXPECT_EQ(answer.calls.size(), 1u);
  EXPECT_EQ(answer.positions, pushed);
  EXPECT_EQ(answer.end->kind, Ending::Kind::kStop);
  EXPECT_TRUE(answer.end->called_tools);
  EXPECT_EQ(other.content, "x");
  EXPECT_FALSE(other.end->called_tools);
}

TEST_F(ToolCallsTest, ACallThatBreaksOffEndsItsChoiceAsACutOne) {
  std::vector<TokenId> ids = Ids("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": oh no");
  const Answer answer = Say(Rules(), ids);
  EXPECT_EQ(answer.calls[0].second, "{\"a\": ");
  EXPECT_EQ(answer.end->kind, Ending::Kind::kLength);
  EXPECT_FALSE(answer.end->called_tools);
  EXPECT_EQ(answer.positions, ids.size() - 4) << "up to what broke it";
}

// "<think>" and its end are tokens of this vocabulary, and the tags of calls are not.
TEST_F(ToolCallsTest, ATagWithinTheReasoningIsReasoning) {
  const auto text = *TextModel::Create(testing::TinyReasoningBundle());
  ChoiceRules rules = Rules();
  rules.reasoning = {.start_id = text->think_start_id(),
                     .end_id = text->think_end_id(),
                     .start = {.place = ReasoningStart::Place::kReasoning}};
  std::vector<TokenId> ids = TinyIds(kCallingAnswer);
  ids.push_back(*text->think_end_id());
  for (const TokenId id : TinyIds(std::string("\n\n") + kCallingAnswer)) ids.push_back(id);
  text_ = text;
  const Answer answer = Say(rules, ids);
  EXPECT_EQ(answer.reasoning, kCallingAnswer);
  EXPECT_EQ(answer.content, "See \xE2\x82\xAC.");
  EXPECT_EQ(answer.calls.size(), 2u);
  EXPECT_EQ(answer.positions, ids.size());
  rules.reasoning.separate = false;
  const Answer raw = Say(rules, ids);
  EXPECT_EQ(raw.content, std::string(kCallingAnswer) + "</think>\n\nSee \xE2\x82\xAC.");
  EXPECT_EQ(raw.calls, answer.calls);
}

// White space is held back, since a call may follow; a stop string in it counts, whoever ends the answer.
TEST_F(ToolCallsTest, AStopStringInWhatTheLoopGuardSetsFreeIsNoLoop) {
  ChoiceRules rules = Rules();
  rules.loop_guard = true;
  const std::vector<TokenId> ids(5000, '\n');
  Answer answer = Say(rules, ids);
  EXPECT_EQ(answer.end->kind, Ending::Kind::kLength);
  EXPECT_TRUE(answer.end->loop);
  rules.stops = {"\n\n"};
  answer = Say(rules, ids);
  EXPECT_EQ(answer.end->kind, Ending::Kind::kStop);
  EXPECT_FALSE(answer.end->loop);
}

}  // namespace
}  // namespace quire::gateway
