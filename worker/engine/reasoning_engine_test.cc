// Reasoning in a whole engine: over random requests whose choices think, with grammars and budgets, each
// answer is what a few plain rules say, whether steps run ahead or not, and wherever one is preempted.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

constexpr TokenId kOpens = 7, kCloses = 11, kEnds = 3;
constexpr int64_t kAnswer = 6;  // positions of the grammar, which may stop behind them alone

std::vector<TokenId> AnswerIdsAt(int64_t position) {
  return {static_cast<TokenId>(50 + position), static_cast<TokenId>(90 + position)};
}

std::shared_ptr<const CompiledGrammar> AnswerGrammar() {
  std::string source;
  for (int64_t i = 0; i < kAnswer; ++i)
    absl::StrAppend(&source, i > 0 ? ";" : "", AnswerIdsAt(i)[0], ",", AnswerIdsAt(i)[1]);
  return *ScriptedGrammarCompiler().Compile("scripted", source, 1000);
}

// What may come after this output: empty = any id, but for a stop id where `may_stop` is false.
struct NextIds {
  std::vector<TokenId> ids;
  bool may_stop = true, whole = false;
};

NextIds Rules(const GenerationRequest& request, const std::vector<TokenId>& output) {
  const Reasoning& reasoning = *request.reasoning;
  const bool grammar = request.grammar != nullptr;
  const bool may_open = reasoning.start == Reasoning::Start::kMayOpen;
  auto answer = output.begin();
  if (!may_open || (!output.empty() && output[0] == kOpens)) {
    const auto begin = output.begin() + (may_open ? 1 : 0);
    const auto end = std::find(begin, output.end(), kCloses);
    if (end == output.end()) {
      if (reasoning.max_tokens && end - begin >= *reasoning.max_tokens) return {{kCloses}, false};
      return {{}, !grammar};
    }
    answer = end + 1;
  }
  if (!grammar) return {};
  const int64_t position = output.end() - answer;
  if (position == kAnswer) return {{}, true, true};
  NextIds next{AnswerIdsAt(position), false};
  if (may_open && output.empty()) next.ids.push_back(kOpens);
  return next;
}

std::vector<TokenId> ByRules(const ScriptedOptions& script, const GenerationRequest& request, size_t nth) {
  const ChoiceStart& choice = request.choices[nth];
  std::vector<TokenId> output = choice.resumed_ids, tokens = request.prompt_ids;
  tokens.insert(tokens.end(), output.begin(), output.end());
  while (std::ssize(output) < request.max_tokens && (output.empty() || output.back() != kEnds)) {
    const NextIds next = Rules(request, output);
    if (next.whole) break;
    SampleSpec sample{.seed = request.seed, .choice = choice.index};
    sample.position = static_cast<uint32_t>(output.size());
    std::vector<uint32_t> mask(32);
    for (const TokenId id : next.ids) mask[id / 32] |= 1u << (id % 32);
    if (!next.ids.empty()) sample.allowed = mask;
    if (!next.may_stop || sample.position < request.min_tokens) sample.params.masked_ids = request.stop_ids;
    output.push_back(ScriptedToken(script, tokens, false, sample));
    tokens.push_back(output.back());
  }
  return {output.begin() + std::ssize(choice.resumed_ids), output.end()};
}

GenerationRequest AnyThinking(std::mt19937& random, const ScriptedOptions& script) {
  GenerationRequest request;
  request.prompt_ids = RandomPrompt(random);
  request.max_tokens = static_cast<int64_t>(1 + random() % 40);
  request.seed = random();
  request.stop_ids = {kEnds};
  request.min_tokens = static_cast<int64_t>(random() % 3);
  request.min_tokens = std::min(request.min_tokens, request.max_tokens);
  request.reasoning =
      Reasoning{.start = random() % 2 == 0 ? Reasoning::Start::kInside : Reasoning::Start::kMayOpen,
                .start_id = kOpens,
                .end_id = kCloses};
  if (random() % 3 != 0) request.reasoning->max_tokens = static_cast<int64_t>(random() % 12);
  if (random() % 2 == 0) request.grammar = AnswerGrammar();
  request.choices = Choices({0, 1, 2});
  if (random() % 2 == 0) {  // one goes on from where an attempt was cut
    std::vector<TokenId> begun = ByRules(script, request, 1);
    begun.resize(random() % begun.size());
    request.choices[1].resumed_ids = std::move(begun);
  }
  return request;
}

// Of small ids, so that the reasoning opens and ends by itself, too.
ScriptedOptions SmallIds() {
  ScriptedOptions script;
  script.first_id = 0;
  script.end_id = 24;
  return script;
}

struct ThoughtCounts {
  int64_t forced = 0, ended = 0, cut = 0, never = 0;
  double ahead = 0, preemptions = 0;
};

void Count(const GenerationRequest& request, const std::vector<TokenId>& output, ThoughtCounts& counts) {
  const bool may_open = request.reasoning->start == Reasoning::Start::kMayOpen;
  if (may_open && output[0] != kOpens) {
    ++counts.never;
    return;
  }
  const auto begin = output.begin() + (may_open ? 1 : 0);
  const auto end = std::find(begin, output.end(), kCloses);
  if (end == output.end()) {
    ++counts.cut;
  } else {
    ++(end - begin == request.reasoning->max_tokens ? counts.forced : counts.ended);
  }
}

void ExpectByRules(uint32_t seed, bool ahead, int32_t blocks, ThoughtCounts& counts) {
  EngineKnobs knobs;
  knobs.limits.target_step_ms = 0;
  knobs.limits.headroom_tokens = 0;
  knobs.kv_blocks = blocks;
  knobs.waiting_room = 100;
  knobs.script = SmallIds();
  knobs.script.runs_ahead = ahead;
  Notification all_there;
  HoldLaunches(knobs, all_there);
  TestEngine group(knobs);
  std::mt19937 random(seed);
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (int i = 0; i < 24; ++i) {
    requests.push_back(AnyThinking(random, knobs.script));
    answers.push_back(group.Start(requests.back()));
  }
  all_there.Notify();
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "request " << i << " of seed " << seed);
    answers[i]->done.WaitForNotification();
    EXPECT_TRUE(answers[i]->status().ok()) << answers[i]->status();
    for (size_t nth = 0; nth < 3; ++nth) {
      std::vector<TokenId> output = requests[i].choices[nth].resumed_ids;
      const auto& ids = answers[i]->ids(requests[i].choices[nth].index);
      EXPECT_EQ(ids, ByRules(knobs.script, requests[i], nth)) << "choice " << nth;
      output.insert(output.end(), ids.begin(), ids.end());
      Count(requests[i], output, counts);
    }
  }
  group.StopAndAudit();
  counts.ahead += group.Metric("quire_worker_steps_ahead_total");
  counts.preemptions += group.Metric("quire_worker_preemptions_total");
}

TEST(ReasoningEngine, AnswersAreThoseOfTheRules) {
  ThoughtCounts counts;
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    for (const bool ahead : {false, true}) {
      ExpectByRules(seed, ahead, seed % 2 == 0 ? 16 : 400, counts);
    }
  }
  EXPECT_GT(counts.ahead, 0);
  EXPECT_GT(counts.preemptions, 0);
  for (const int64_t count : {counts.forced, counts.ended, counts.cut, counts.never}) EXPECT_GT(count, 20);
}

// Only where the budget may end does a step wait for the one before.
TEST(ReasoningEngine, ABudgetThatIsFarAwayHoldsUpNoStep) {
  for (const int64_t budget : {0, 10, 1000}) {
    SCOPED_TRACE(budget);
    EngineKnobs knobs;
    knobs.limits.target_step_ms = 0;
    knobs.script.runs_ahead = true;
    knobs.script.first_id = 100;  // nothing ends it by itself
    TestEngine group(knobs);
    GenerationRequest request = EqualTokens(20, 30);
    request.reasoning = Reasoning{.end_id = kCloses, .max_tokens = budget};
    EXPECT_EQ(group.RunToEnd(request)->ids(), ByRules(knobs.script, request, 0));
    group.StopAndAudit();
    // In the budget's last token, and in the end that it forces, the next one is unknown.
    const double waits = budget == 1000 ? 0 : budget == 0 ? 1 : 2;
    EXPECT_EQ(group.Metric("quire_worker_steps_ahead_total"), 29 - waits);
  }
}

}  // namespace
}  // namespace quire::worker
