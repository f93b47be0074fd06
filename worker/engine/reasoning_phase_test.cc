// Where a reasoning begins, ends and is cut: the phase by itself, and what a sequence lets its next row be.
#include "worker/engine/reasoning_phase.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/one_sequence.h"
#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Start = Reasoning::Start;

constexpr TokenId kThink = 70, kThinkEnd = 40, kStopId = 2;

Reasoning Think(Start start, std::optional<int64_t> max_tokens = std::nullopt) {
  return {.start = start, .start_id = kThink, .end_id = kThinkEnd, .max_tokens = max_tokens};
}

TEST(ReasoningPhase, WithoutOneAllIsAnswer) {
  ReasoningPhase phase(std::nullopt);
  EXPECT_FALSE(phase.reasons() || phase.opener() || phase.forced() || phase.next_decides());
  EXPECT_TRUE(phase.Follow(kThink));
  EXPECT_TRUE(phase.Follow(kThinkEnd));
  EXPECT_FALSE(phase.reasons());
}

TEST(ReasoningPhase, EndsOnceAndNothingOpensAnotherOne) {
  ReasoningPhase phase(Think(Start::kInside));
  for (const TokenId id : {5, kThink, 6}) {
    EXPECT_TRUE(phase.reasons());
    EXPECT_FALSE(phase.Follow(id));
    EXPECT_FALSE(phase.forced() || phase.next_decides() || phase.opener());
  }
  EXPECT_FALSE(phase.Follow(kThinkEnd));
  for (const TokenId id : {kThink, kThinkEnd, 5}) {
    EXPECT_FALSE(phase.reasons());
    EXPECT_TRUE(phase.Follow(id));
  }
}

TEST(ReasoningPhase, OnlyTheFirstTokenOpensIt) {
  ReasoningPhase opened(Think(Start::kMayOpen));
  EXPECT_FALSE(opened.reasons());
  EXPECT_EQ(opened.opener(), kThink);
  EXPECT_FALSE(opened.Follow(kThink));
  EXPECT_TRUE(opened.reasons());
  EXPECT_FALSE(opened.opener());
  ReasoningPhase other(Think(Start::kMayOpen, 0));
  EXPECT_TRUE(other.Follow(5));
  EXPECT_FALSE(other.opener() || other.forced() || other.next_decides());
  EXPECT_TRUE(other.Follow(kThink));
  EXPECT_FALSE(other.reasons());
}

TEST(ReasoningPhase, ItsEndIsForcedOnceTheBudgetIsUsedUp) {
  for (const Start start : {Start::kInside, Start::kMayOpen}) {
    for (int64_t budget = 0; budget < 4; ++budget) {
      SCOPED_TRACE(testing::Message() << "budget " << budget);
      ReasoningPhase phase(Think(start, budget));
      if (start == Start::kMayOpen) {
        EXPECT_FALSE(phase.forced());
        EXPECT_EQ(phase.next_decides(), budget == 0);
        phase.Follow(kThink);
      }
      for (int64_t came = 0; came < budget; ++came) {
        EXPECT_FALSE(phase.forced());
        EXPECT_EQ(phase.next_decides(), came == budget - 1);
        phase.Follow(kThink);  // within it a token like any other
      }
      EXPECT_EQ(phase.forced(), kThinkEnd);
      EXPECT_TRUE(phase.next_decides());
      phase.Follow(kThinkEnd);
      EXPECT_FALSE(phase.forced() || phase.next_decides() || phase.reasons());
    }
  }
}

GenerationRequest Thinking(const char* grammar, Start start, std::optional<int64_t> budget = std::nullopt) {
  GenerationRequest request = EqualTokens(4, 20);
  request.stop_ids = {kStopId};
  request.reasoning = Think(start, budget);
  if (grammar != nullptr) request.grammar = *ScriptedGrammarCompiler().Compile("scripted", grammar, 1000);
  return request;
}

TEST(Reasoning, TheGrammarBeginsBehindIt) {
  OneSequence sequence(Thinking("5;6", Start::kInside));
  for (const TokenId id : {9, 5, kThink}) {
    EXPECT_THAT(sequence.Allowed(), ElementsAre(-1));
    EXPECT_THAT(sequence.masked(), ElementsAre(kStopId));
    sequence->Append(id);
  }
  sequence->Append(kThinkEnd);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(5));
  sequence->Append(5);
  sequence->Append(6);
  EXPECT_EQ(sequence->finished(), FinishCause::kStop);
}

TEST(Reasoning, AStopIdComesInItWhereThereIsNoGrammar) {
  OneSequence sequence(Thinking(nullptr, Start::kInside, 5));
  sequence->Append(9);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(-1));
  EXPECT_THAT(sequence.masked(), ElementsAre());
  sequence->Append(kStopId);
  EXPECT_EQ(sequence->finished(), FinishCause::kStop);
}

TEST(Reasoning, TheFirstTokenMayOpenItOrBeTheGrammars) {
  OneSequence opens(Thinking("5;6", Start::kMayOpen));
  EXPECT_THAT(opens.Allowed(), ElementsAre(5, kThink));
  opens->Append(kThink);
  EXPECT_THAT(opens.Allowed(), ElementsAre(-1));
  opens->Append(kThinkEnd);
  EXPECT_THAT(opens.Allowed(), ElementsAre(5));
  OneSequence answers(Thinking("5;6,70", Start::kMayOpen));
  answers->Append(5);
  EXPECT_THAT(answers.Allowed(), ElementsAre(6, kThink));
  answers->Append(kThink);  // the grammar's, and no reasoning
  EXPECT_EQ(answers->finished(), FinishCause::kStop);
  // It may think first also where nothing more need come, or can.
  OneSequence whole(Thinking(".", Start::kMayOpen));
  EXPECT_THAT(whole.Allowed(), ElementsAre(kStopId, kThink));
  OneSequence dead(Thinking("", Start::kMayOpen));
  EXPECT_THAT(dead.Allowed(), ElementsAre(kThink));
  dead->Append(kThink);
  dead->Append(kThinkEnd);
  EXPECT_EQ(dead->grammar_error().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Reasoning, ItsBudgetForcesItsEnd) {
  for (const char* grammar : {static_cast<const char*>(nullptr), "5;6"}) {
    for (const Start start : {Start::kInside, Start::kMayOpen}) {
      OneSequence sequence(Thinking(grammar, start, 2));
      if (start == Start::kMayOpen) sequence->Append(kThink);
      for (int i = 0; i < 2; ++i) {
        EXPECT_THAT(sequence.Allowed(), ElementsAre(-1));
        sequence->Append(9);
      }
      EXPECT_THAT(sequence.Allowed(), ElementsAre(kThinkEnd));
      sequence->Append(kThinkEnd);
      EXPECT_THAT(sequence.Allowed(), ElementsAre(grammar == nullptr ? -1 : 5));
      OneSequence at_once(Thinking(grammar, start, 0));
      if (start == Start::kMayOpen) at_once->Append(kThink);
      EXPECT_THAT(at_once.Allowed(), ElementsAre(kThinkEnd));
    }
  }
}

TEST(Reasoning, StopIdsAreMaskedBeforeMinTokensAllTheSame) {
  GenerationRequest request = Thinking(nullptr, Start::kInside, 1);
  request.min_tokens = 4;
  OneSequence sequence(request);
  sequence->Append(9);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(kThinkEnd));
  sequence->Append(kThinkEnd);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(-1));
  EXPECT_THAT(sequence.masked(), ElementsAre(kStopId));
}

// As at any point, an attempt that resumes it does what the first one would have done.
TEST(Reasoning, ResumedIdsAreFollowed) {
  const std::vector<TokenId> output = {kThink, 9, 8, kThinkEnd, 5, 6, 7};
  for (const Start start : {Start::kInside, Start::kMayOpen}) {
    OneSequence whole(Thinking("5;6;7,.;8", start, 3));
    for (size_t made = 0; made < output.size(); ++made) {
      SCOPED_TRACE(made);
      GenerationRequest request = Thinking("5;6;7,.;8", start, 3);
      request.choices[0].resumed_ids.assign(output.begin(), output.begin() + static_cast<int64_t>(made));
      OneSequence resumed(request);
      EXPECT_EQ(resumed.Allowed(), whole.Allowed());
      EXPECT_EQ(resumed.masked(), whole.masked());
      whole->Append(output[made]);
    }
  }
}

TEST(Reasoning, ResumedIdsThatItCannotHaveAreRefused) {
  const std::vector<std::vector<TokenId>> wrong = {{9, kStopId}, {kThinkEnd, 6}, {kThinkEnd, kStopId}};
  for (const std::vector<TokenId>& ids : wrong) {
    GenerationRequest request = Thinking("5;6", Start::kInside);
    request.choices[0].resumed_ids = ids;
    EXPECT_THAT(OneSequence(request)->grammar_error().message(), HasSubstr("resumed_ids of choice 0"));
  }
}

}  // namespace
}  // namespace quire::worker
