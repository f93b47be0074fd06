// Grammars: what a sequence lets its next row be, and that a whole engine keeps to it, also where sequences
// are preempted. The grammars are scripted.
#include "worker/engine/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/one_sequence.h"
#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kGrammarVocab = 1000;
constexpr TokenId kEnd = 2;

std::shared_ptr<const CompiledGrammar> Grammar(const std::string& source) {
  auto compiled = ScriptedGrammarCompiler().Compile("scripted", source, kGrammarVocab);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return *compiled;
}

GenerationRequest WithGrammar(const std::string& source, int64_t max_tokens = 10) {
  GenerationRequest request = EqualTokens(4, max_tokens);
  request.stop_ids = {kEnd};
  request.grammar = Grammar(source);
  return request;
}

TEST(Grammar, ARowMayBeWhatItLetsCome) {
  OneSequence sequence(WithGrammar("5,64;7;*"));
  EXPECT_THAT(sequence.Allowed(), ElementsAre(5, 64));
  sequence->Append(64);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(7));
  sequence->Append(7);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(-1));
  EXPECT_THAT(sequence.masked(), ElementsAre(kEnd));  // it isn't whole
  EXPECT_FALSE(sequence->finished());
  sequence->Append(99);
  EXPECT_EQ(sequence->finished(), FinishCause::kStop);  // nothing more may come
  EXPECT_TRUE(sequence->grammar_error().ok());
}

TEST(Grammar, AStopIdComesOnlyWhereItMayStop) {
  OneSequence sequence(WithGrammar("5;6,.;7"));
  EXPECT_THAT(sequence.Allowed(), ElementsAre(5));
  sequence->Append(5);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(kEnd, 6));
  EXPECT_THAT(sequence.masked(), ElementsAre());
  sequence->Append(kEnd);
  EXPECT_EQ(sequence->finished(), FinishCause::kStop);
}

// Where it says so itself it is of another mind than who made the request.
TEST(Grammar, AStopIdIsNoneOfItsIds) {
  OneSequence sequence(WithGrammar("2,5;6"));
  EXPECT_THAT(sequence.Allowed(), ElementsAre(5));
  GenerationRequest ignores = WithGrammar("2,5;6");
  ignores.ignore_eos = true;
  EXPECT_THAT(OneSequence(ignores).Allowed(), ElementsAre(kEnd, 5));
}

TEST(Grammar, MinTokensMaskTheStopIdsAllTheSame) {
  GenerationRequest request = WithGrammar("5;6,.;7,.;8");
  request.min_tokens = 2;
  OneSequence sequence(request);
  sequence->Append(5);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(kEnd, 6));
  EXPECT_THAT(sequence.masked(), ElementsAre(kEnd));
  sequence->Append(6);
  EXPECT_THAT(sequence.Allowed(), ElementsAre(kEnd, 7));
  EXPECT_THAT(sequence.masked(), ElementsAre());
}

TEST(Grammar, ADeadEndIsAnError) {
  OneSequence sequence(WithGrammar("5;;7"));
  EXPECT_TRUE(sequence->grammar_error().ok());
  sequence->Append(5);
  EXPECT_EQ(sequence->grammar_error().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(sequence->grammar_error().message(), HasSubstr("nothing come after 1 tokens"));
  EXPECT_FALSE(OneSequence(WithGrammar(""))->grammar_error().ok());
  EXPECT_TRUE(OneSequence(WithGrammar("."))->finished());
  // Not where max_tokens ends it first.
  OneSequence cut(WithGrammar("5;;7", /*max_tokens=*/1));
  cut->Append(5);
  EXPECT_TRUE(cut->grammar_error().ok());
  EXPECT_EQ(cut->finished(), FinishCause::kLength);
}

TEST(Grammar, ItsLastTokenIsAStopAlsoAtMaxTokens) {
  OneSequence sequence(WithGrammar("5", /*max_tokens=*/1));
  sequence->Append(5);
  EXPECT_EQ(sequence->finished(), FinishCause::kStop);
}

TEST(Grammar, ResumedIdsAreTakenOrRefused) {
  const auto resumed = [](std::vector<TokenId> ids) {
    GenerationRequest request = WithGrammar("5,6;6,.;7");
    request.choices[0].resumed_ids = std::move(ids);
    return request;
  };
  EXPECT_THAT(OneSequence(resumed({5, 6})).Allowed(), ElementsAre(7));
  EXPECT_EQ(OneSequence(resumed({5, 6, 7}))->finished(), FinishCause::kStop);
  OneSequence stopped(resumed({6, kEnd}));
  EXPECT_EQ(stopped->finished(), FinishCause::kStop);
  EXPECT_TRUE(stopped->grammar_error().ok());
  const std::vector<std::vector<TokenId>> wrong = {{7}, {5, 6, kEnd}, {kEnd}, {5, 6, 7, 8}};
  for (const std::vector<TokenId>& ids : wrong) {
    OneSequence refused(resumed(ids));
    EXPECT_THAT(refused->grammar_error().message(), HasSubstr("resumed_ids of choice 0")) << ids.size();
  }
}

// Lets any id come, and says after two tokens that it can't be followed.
class TiredGrammar final : public CompiledGrammar {
 public:
  explicit TiredGrammar(bool takes_it) : takes_it_(takes_it) {}
  std::unique_ptr<GrammarState> Start() const override { return std::make_unique<State>(takes_it_); }
  int64_t vocab() const override { return kGrammarVocab; }
  size_t bytes() const override { return sizeof(*this); }

 private:
  class State final : public GrammarState {
   public:
    explicit State(bool takes_it) : takes_it_(takes_it) {}
    bool Accept(TokenId) override { return ++came_ < 2 || takes_it_; }
    bool FillMask(std::span<uint32_t>) override { return false; }
    bool CanStop() const override { return true; }
    absl::Status status() const override {
      return came_ < 2 ? absl::OkStatus() : absl::InvalidArgumentError("too long to follow");
    }

   private:
    const bool takes_it_;
    int came_ = 0;
  };
  const bool takes_it_;
};

TEST(Grammar, OneThatCannotBeFollowedSaysWhy) {
  for (const bool takes_it : {false, true}) {
    GenerationRequest request = WithGrammar("5");
    request.grammar = std::make_shared<TiredGrammar>(takes_it);
    OneSequence sequence(request);
    sequence->Append(8);
    EXPECT_TRUE(sequence->grammar_error().ok());
    sequence->Append(8);
    EXPECT_EQ(sequence->grammar_error(), absl::InvalidArgumentError("too long to follow"));
  }
}

// ---- in an engine ----

// Lets any id come, and says that each mask took so long.
class DearGrammar final : public CompiledGrammar {
 public:
  explicit DearGrammar(int64_t us) : us_(us) {}
  std::unique_ptr<GrammarState> Start() const override { return std::make_unique<State>(us_); }
  int64_t vocab() const override { return kGrammarVocab; }
  size_t bytes() const override { return sizeof(*this); }

 private:
  class State final : public GrammarState {
   public:
    explicit State(int64_t us) : us_(us) {}
    bool Accept(TokenId) override { return true; }
    bool FillMask(std::span<uint32_t>) override {
      spent_us_ += us_;
      return false;
    }
    bool CanStop() const override { return true; }
    int64_t spent_us() const override { return spent_us_; }

   private:
    const int64_t us_;
    int64_t spent_us_ = 0;
  };
  const int64_t us_;
};

TEST(MaskBudget, IsOfAllStepsOnAverage) {
  MaskBudget budget;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(budget.Spend(MaskBudget::kStepUs));
  EXPECT_TRUE(budget.Spend(MaskBudget::kSavedUs + MaskBudget::kStepUs));
  EXPECT_FALSE(budget.Spend(MaskBudget::kStepUs + 1));
  EXPECT_TRUE(budget.Spend(MaskBudget::kStepUs));
  EXPECT_TRUE(budget.Spend(0));
  EXPECT_TRUE(budget.Spend(2 * MaskBudget::kStepUs));
  EXPECT_FALSE(budget.Spend(2 * MaskBudget::kStepUs));
}

// Each by itself may be followed; together they would hold up every step.
TEST(GrammarEngine, TheDearestGoWhereMasksTakeTooLong) {
  EngineKnobs knobs;
  knobs.kv_blocks = 800;
  Notification all_there;
  HoldLaunches(knobs, all_there);
  TestEngine group(knobs);
  std::vector<std::shared_ptr<RequestAnswer>> dear;
  const auto start = [&](int64_t us) {
    GenerationRequest request = EqualTokens(4, 300);
    request.grammar = std::make_shared<DearGrammar>(us);
    return group.Start(request);
  };
  const auto cheap = start(100);
  for (int i = 0; i < 12; ++i) dear.push_back(start(9'900));
  all_there.Notify();
  int64_t ended = 0;
  for (const auto& answer : dear) {
    answer->done.WaitForNotification();
    if (answer->status().ok()) continue;
    ++ended;
    EXPECT_EQ(answer->status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(answer->status().message(), HasSubstr("too long to follow"));
  }
  cheap->done.WaitForNotification();
  EXPECT_TRUE(cheap->status().ok()) << cheap->status();
  EXPECT_EQ(ended, 10) << "two of them are within the bound";
  group.StopAndAudit();
  EXPECT_GT(group.Metric("quire_worker_mask_seconds_total"), 2 * 300 * 0.0099);
}

constexpr int64_t kPositions = 40;

// Three ids at each position, of which none is a stop id.
std::vector<TokenId> IdsAt(int64_t position) {
  const auto first = static_cast<TokenId>(100 + 10 * position);
  return {first, first + 3, first + 33};
}

std::string LongSource() {
  std::string source;
  for (int64_t i = 0; i < kPositions; ++i) {
    absl::StrAppend(&source, i > 0 ? ";" : "", absl::StrJoin(IdsAt(i), ","));
  }
  return source;
}

// What a choice must get, worked out without a sequence or a grammar.
std::vector<TokenId> ByHand(const ScriptedOptions& script, const GenerationRequest& request,
                            uint32_t choice) {
  std::vector<TokenId> tokens = request.prompt_ids;
  for (int64_t i = 0; i < std::min(kPositions, request.max_tokens); ++i) {
    std::vector<uint32_t> mask((kGrammarVocab + 31) / 32);
    for (const TokenId id : IdsAt(i)) mask[id / 32] |= 1u << (id % 32);
    SampleSpec sample{.seed = request.seed, .choice = choice, .position = static_cast<uint32_t>(i)};
    sample.allowed = mask;
    tokens.push_back(ScriptedToken(script, tokens, false, sample));
  }
  return {tokens.begin() + std::ssize(request.prompt_ids), tokens.end()};
}

// Few blocks: they are preempted again and again.
TEST(GrammarEngine, EachChoiceKeepsToItWhereverItIsPreempted) {
  for (const int32_t blocks : {400, 16}) {
    EngineKnobs knobs;
    knobs.kv_blocks = blocks;
    knobs.limits.headroom_tokens = 0;
    Notification all_there;
    HoldLaunches(knobs, all_there);
    TestEngine group(knobs);
    std::vector<GenerationRequest> requests;
    std::vector<std::shared_ptr<RequestAnswer>> answers;
    for (uint64_t seed = 0; seed < 4; ++seed) {
      requests.push_back(WithGrammar(LongSource(), seed == 3 ? 30 : 100));
      requests.back().prompt_ids.assign(20, static_cast<TokenId>(seed));
      requests.back().seed = seed;
      requests.back().choices = Choices({0, 1, 2});
      answers.push_back(group.Start(requests.back()));
    }
    all_there.Notify();
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i]->done.WaitForNotification();
      EXPECT_TRUE(answers[i]->status().ok()) << answers[i]->status();
      for (const uint32_t choice : {0u, 1u, 2u}) {
        EXPECT_EQ(answers[i]->ids(choice), ByHand(knobs.script, requests[i], choice));
        EXPECT_EQ(answers[i]->finished(choice), i == 3 ? FinishCause::kLength : FinishCause::kStop);
      }
    }
    group.StopAndAudit();
    EXPECT_EQ(group.Metric("quire_worker_preemptions_total") > 0, blocks == 16);
  }
}

TEST(GrammarEngine, ADeadEndFailsItsRequestAlone) {
  TestEngine group{EngineKnobs()};
  GenerationRequest dead = WithGrammar("5;6;;8");
  dead.choices = Choices({0, 1});
  const GenerationRequest other = EqualTokens(20, 30);
  const auto other_answer = group.Start(other);
  const auto answer = group.RunToEnd(dead);
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(answer->status().message(), HasSubstr("the grammar lets nothing come after 2 tokens"));
  EXPECT_THAT(answer->ids(), ElementsAre(5, 6));  // what came before was right
  other_answer->done.WaitForNotification();
  group.ExpectWhole(other, *other_answer);
  dead = WithGrammar("");
  EXPECT_EQ(group.RunToEnd(dead)->status().code(), absl::StatusCode::kInvalidArgument);
  dead = WithGrammar("5;6");
  dead.choices = {{0}, {1, {6}}};
  const auto refused = group.RunToEnd(dead);
  EXPECT_THAT(refused->status().message(), HasSubstr("does not take resumed_ids of choice 1"));
  EXPECT_TRUE(refused->ids(0).empty());
  group.StopAndAudit();
}

// A choice's grammar ends in nothing in the very step in which another's row comes out wrong.
TEST(GrammarEngine, AFailedRowIsTheReasonWhateverElseFailed) {
  EngineKnobs knobs;
  knobs.script.on_collect = [](const BatchPlan&, std::span<const SampleSpec* const> specs,
                               StepResult& result) {
    for (size_t i = 0; i < specs.size(); ++i) {
      result.tokens[i].failed = specs[i]->choice == 1 && specs[i]->position == 1;
    }
  };
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(100, 10);
  request.grammar = Grammar("5;6;;8");
  request.choices = Choices({0, 1});
  EXPECT_EQ(group.RunToEnd(request)->status().code(), absl::StatusCode::kInternal);
  request.grammar = nullptr;
  request.choices = Choices({0});
  EXPECT_EQ(group.RunToEnd(request)->cached_tokens, 0) << "what it computed is found by nobody";
  group.StopAndAudit();
}

TEST(ScriptedGrammar, SaysWhatIsWrongWithASource) {
  const ScriptedGrammarCompiler compiler;
  for (const char* source : {"x", "5;1000", "-1", "5 6"}) {
    EXPECT_EQ(compiler.Compile("scripted", source, kGrammarVocab).status().code(),
              absl::StatusCode::kInvalidArgument)
        << source;
  }
  EXPECT_THAT(compiler.Compile("json", "5", kGrammarVocab).status().message(), HasSubstr("'json'"));
}

}  // namespace
}  // namespace quire::worker
