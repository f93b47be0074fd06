#include "worker/engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>

#include "worker/engine/testing/scripted_runner.h"

namespace quire::worker {
namespace {

GenerationRequest RequestOf(int64_t prompt, int64_t max_tokens, TokenId first = 0) {
  GenerationRequest request;
  for (int64_t i = 0; i < prompt; ++i) request.prompt_ids.push_back(first + static_cast<TokenId>(i));
  request.max_tokens = max_tokens;
  return request;
}

SlotLimits SlotLimitsFor(const SchedulerLimits& limits, int32_t blocks) {
  constexpr int64_t kAny = std::numeric_limits<int32_t>::max();
  return {.slots = limits.max_sequences,
          .batch_tokens = limits.max_batch_tokens,
          .wanted_rows = limits.wanted_rows(),
          .kv_blocks = blocks,
          .token_ids = kAny,
          .plain_context = kAny};
}

// A scheduler with its sequences, and a rank's slots that follow its plans; samples the number of the
// sequence.
struct Bench {
  explicit Bench(SchedulerLimits limits, int32_t blocks)
      : cache(blocks), scheduler(limits, &cache), slots(SlotLimitsFor(limits, blocks)) {}

  Step Schedule() {
    Step step = scheduler.Schedule(prices);
    for (const absl::Status& status : {slots.Apply(step.plan), CheckWritesAreAlone(slots)}) {
      EXPECT_TRUE(status.ok()) << status;
    }
    return step;
  }

  Sequence* Add(GenerationRequest request) {
    const uint64_t id = sequences.size() + 1;
    sequences.push_back(std::make_unique<Sequence>(id, Share(std::move(request)), 1 << 20));
    scheduler.Add(sequences.back().get());
    return sequences.back().get();
  }

  std::vector<Sequence*> AddChoices(GenerationRequest request, size_t choices) {
    request.choices.resize(choices);
    const auto shared = Share(std::move(request));
    std::vector<Sequence*> added;
    for (size_t nth = 0; nth < choices; ++nth) {
      sequences.push_back(std::make_unique<Sequence>(sequences.size() + 1, shared, 1 << 20, nth));
      scheduler.Add(added.emplace_back(sequences.back().get()));
    }
    return added;
  }

  // One whole step; the rows that each sequence got.
  std::map<const Sequence*, int64_t> RunStep() {
    const Step step = Schedule();
    std::map<const Sequence*, int64_t> rows;
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      Sequence* sequence = step.sequences[i];
      const SequencePlan& plan = step.plan.sequences[i];
      rows[sequence] = plan.rows;
      sequence->Advance(plan.rows, cache);
      if (plan.wanted > 0) sequence->Append(static_cast<TokenId>(sequence->ticket()));
      if (sequence->finished()) scheduler.Remove(sequence);
    }
    return rows;
  }

  PrefixCache cache;
  std::vector<std::unique_ptr<Sequence>> sequences;
  Scheduler scheduler;
  SlotTable slots;
  StepPrices prices;  // nothing costs anything
};

TEST(Scheduler, LimitsAreCheckedAgainstEachOther) {
  EXPECT_TRUE(SchedulerLimits().Check().ok());
  EXPECT_FALSE((SchedulerLimits{.max_batch_tokens = 8, .max_sequences = 9}).Check().ok());
  EXPECT_FALSE((SchedulerLimits{.prefill_chunk = 0}).Check().ok());
}

TEST(Scheduler, PrefillGoesInChunksThenDecodes) {
  Bench bench({.max_batch_tokens = 512, .prefill_chunk = 16}, 8);
  Sequence* sequence = bench.Add(RequestOf(40, 3));
  EXPECT_EQ(bench.RunStep()[sequence], 16);
  EXPECT_EQ(bench.RunStep()[sequence], 16);
  EXPECT_EQ(bench.RunStep()[sequence], 8);
  EXPECT_EQ(sequence->output().size(), 1u);
  EXPECT_EQ(bench.RunStep()[sequence], 1);
  EXPECT_EQ(bench.RunStep()[sequence], 1);
  EXPECT_TRUE(bench.scheduler.empty());
  EXPECT_EQ(bench.cache.idle(), 8);
}

TEST(Scheduler, LongPromptStallsNobody) {
  Bench bench({.max_batch_tokens = 64, .prefill_chunk = 64, .max_sequences = 8}, 2000);
  std::vector<Sequence*> decoding;
  for (int i = 0; i < 4; ++i) decoding.push_back(bench.Add(RequestOf(1, 1000, 1000 * (i + 1))));
  bench.RunStep();
  Sequence* giant = bench.Add(RequestOf(10'000, 10, 100'000));
  for (int step = 0; step < 20; ++step) {
    auto rows = bench.RunStep();
    for (Sequence* sequence : decoding) EXPECT_EQ(rows[sequence], 1);
    EXPECT_EQ(rows[giant], 60);
  }
  Sequence* small = bench.Add(RequestOf(25, 10, 50'000));
  auto rows = bench.RunStep();
  EXPECT_EQ(rows[small], 25);  // within its even share of 60: done in one step
  EXPECT_EQ(rows[giant], 35);  // and the giant gets all that is left
}

TEST(Scheduler, ManyPromptsShareTheBudgetEvenly) {
  Bench bench({.max_batch_tokens = 64, .prefill_chunk = 64, .max_sequences = 8}, 2000);
  for (int i = 0; i < 8; ++i) bench.Add(RequestOf(1000, 10, 10'000 * i));
  for (const auto& [sequence, rows] : bench.RunStep()) EXPECT_EQ(rows, 8);
}

std::map<const Sequence*, int64_t> RowsOf(const Step& step) {
  std::map<const Sequence*, int64_t> rows;
  for (size_t i = 0; i < step.sequences.size(); ++i) rows[step.sequences[i]] = step.plan.sequences[i].rows;
  return rows;
}

// Who scores takes few rows, however long the prompt is: what that leaves is the others'.
TEST(Scheduler, ScoredPromptsLeaveTheOthersWhatTheyCanNotTake) {
  for (const int64_t remaining : {50, 1000}) {
    Bench bench({.max_batch_tokens = 64, .prefill_chunk = 64, .max_sequences = 8}, 2000);
    for (int i = 0; i < 7; ++i) {
      GenerationRequest scored = RequestOf(200, 10, 10'000 * i);
      scored.scoring = {.from = 1};
      bench.Add(std::move(scored));
    }
    Sequence* plain = bench.Add(RequestOf(remaining, 10, 90'000));
    auto rows = RowsOf(bench.Schedule());
    EXPECT_EQ(rows[plain], 64 - SchedulerLimits::kScoredRows);
    rows.erase(plain);
    for (const auto& [sequence, few] : rows) EXPECT_TRUE(few == 4 || few == 5) << few;
  }
}

// One whose first scores were told before reads up to the others as any prompt does.
TEST(Scheduler, AScoredPromptTakesWhatShortOnesLeave) {
  Bench bench({.max_batch_tokens = 64, .prefill_chunk = 64, .max_sequences = 8}, 2000);
  GenerationRequest resumed = RequestOf(1000, 10);
  resumed.scoring = {.from = 900};
  Sequence* scorer = bench.Add(std::move(resumed));
  Sequence* plain = bench.Add(RequestOf(10, 10, 90'000));
  auto rows = RowsOf(bench.Schedule());
  EXPECT_EQ(rows[plain], 10);
  EXPECT_EQ(rows[scorer], 54);
}

TEST(Scheduler, LastAdmittedIsPreemptedFirstAndComesBackWhole) {
  Bench bench({}, 16);
  Sequence* first = bench.Add(RequestOf(30, 150, 0));
  Sequence* second = bench.Add(RequestOf(30, 150, 1000));
  bench.RunStep();
  EXPECT_EQ(bench.scheduler.running(), 2);
  while (bench.scheduler.preemptions() == 0) bench.RunStep();
  EXPECT_EQ(bench.scheduler.waiting(), 1);
  EXPECT_EQ(second->computed(), 0);
  const std::vector<TokenId> kept = second->output();
  EXPECT_FALSE(kept.empty());
  while (!bench.scheduler.empty()) bench.RunStep();
  EXPECT_EQ(first->output().size(), 150u);
  EXPECT_EQ(second->output().size(), 150u);
  EXPECT_EQ(bench.cache.idle(), 16);
}

TEST(Scheduler, AdmitsOnlyWithRoomForEverybodyToGrow) {
  Bench bench({}, 16);
  Sequence* first = bench.Add(RequestOf(60, 120, 0));  // 4 blocks, and 4 for its next 64 tokens
  Sequence* second = bench.Add(RequestOf(60, 120, 1000));
  Sequence* third = bench.Add(RequestOf(1, 1, 2000));  // one block and no more
  bench.RunStep();
  EXPECT_EQ(bench.scheduler.running(), 2);
  EXPECT_EQ(bench.scheduler.waiting(), 1);
  EXPECT_EQ(third->computed(), 0);
  bench.scheduler.Remove(second);
  bench.RunStep();
  EXPECT_TRUE(third->finished());
  while (!first->finished()) bench.RunStep();
  EXPECT_EQ(bench.scheduler.preemptions(), 0);
}

// Three times as many chats as fit: few of the rows may be computed twice (28 % were, without room to grow).
TEST(Scheduler, OversubscriptionRecomputesLittle) {
  Bench bench({.max_batch_tokens = 512, .prefill_chunk = 256, .max_sequences = 64}, 526);
  std::mt19937 random(1);
  int64_t needed = 0, computed = 0;
  for (int i = 0; i < 96; ++i) {
    const auto prompt = static_cast<int64_t>(50 + random() % 250),
               tokens = static_cast<int64_t>(20 + random() % 560);
    bench.Add(RequestOf(prompt, tokens, 1'000'000 + 1000 * i));
    needed += prompt + tokens - 1;
  }
  while (!bench.scheduler.empty()) {
    for (const auto& [sequence, rows] : bench.RunStep()) computed += rows;
  }
  EXPECT_LT(static_cast<double>(computed - needed), 0.05 * static_cast<double>(needed));
}

TEST(Scheduler, RefusesWhatCanNeverFit) {
  Bench bench({}, 4);
  EXPECT_TRUE(bench.scheduler.CheckFits(Sequence(1, Share(RequestOf(60, 5)), 1000)).ok());
  EXPECT_FALSE(bench.scheduler.CheckFits(Sequence(1, Share(RequestOf(60, 6)), 1000)).ok());
  EXPECT_TRUE(
      bench.scheduler.CheckFits(Sequence(1, Share(RequestOf(60, 6)), 65)).ok());  // the context ends it
}

TEST(Scheduler, WholePoolIsEnoughForTheLongestThatFits) {
  Bench bench({}, 4);
  Sequence* sequence = bench.Add(RequestOf(60, 5));
  while (!bench.scheduler.empty()) bench.RunStep();
  EXPECT_EQ(sequence->output().size(), 5u);
  EXPECT_EQ(bench.scheduler.preemptions(), 0);
}

// ---- random work ----

// What must hold of every step, whatever happens.
void CheckStep(const Step& step, const SlotTable& slots, const SchedulerLimits& limits, int64_t running) {
  std::set<const Sequence*> served(step.sequences.begin(), step.sequences.end());
  served.insert(step.sampled.begin(), step.sampled.end());
  ASSERT_EQ(static_cast<int64_t>(served.size()), running) << "somebody was starved";
  ASSERT_EQ(step.sampled.size(), step.plan.wanted.size());
  ASSERT_LE(step.plan.tokens(), limits.max_batch_tokens);
  for (const SequencePlan& plan : step.plan.sequences) {
    ASSERT_LE(plan.rows, std::max<int64_t>(limits.prefill_chunk, 1));
  }
  const auto open = std::ranges::count_if(slots.shapes(), &SlotShape::open);
  ASSERT_EQ(open, static_cast<int64_t>(step.sequences.size())) << "forks get theirs in the next step";
}

void RunRandomWork(uint32_t seed, SchedulerLimits limits, int32_t blocks, int steps) {
  std::mt19937 random(seed);
  Bench bench(limits, blocks);
  std::vector<Sequence*> live;
  for (int i = 0; i < steps; ++i) {
    while (live.size() < 12 && random() % 3 != 0) {
      const int64_t longest = int64_t{blocks} * kBlockTokens;
      const int64_t prompt = 1 + random() % (longest - 1);
      // Prompts start with one of two ids, so that prefixes are shared.
      for (Sequence* choice :
           bench.AddChoices(RequestOf(prompt, 1 + random() % (longest - prompt + 1), random() % 2 * 5),
                            1 + random() % 3)) {
        live.push_back(choice);
        ASSERT_TRUE(bench.scheduler.CheckFits(*choice).ok());
      }
    }
    if (!live.empty() && random() % 10 == 0) {  // cancelled in whatever state
      std::swap(live[random() % live.size()], live.back());
      bench.scheduler.Remove(live.back());
      live.pop_back();
    }
    const Step step = bench.Schedule();
    ASSERT_EQ(step.sequences.empty(), live.empty());
    if (!live.empty()) CheckStep(step, bench.slots, limits, bench.scheduler.running());
    for (size_t s = 0; s < step.sequences.size(); ++s) {
      Sequence* sequence = step.sequences[s];
      sequence->Advance(step.plan.sequences[s].rows, bench.cache);
    }
    for (Sequence* sequence : step.sampled) {
      sequence->Append(static_cast<TokenId>(random() % 3));
      if (!sequence->finished()) continue;
      bench.scheduler.Remove(sequence);
      std::erase(live, sequence);
    }
    ASSERT_TRUE(bench.cache.CheckIntegrity().ok());
    if (live.empty()) bench.sequences.clear();
  }
  for (Sequence* sequence : live) bench.scheduler.Remove(sequence);
  EXPECT_EQ(bench.cache.idle(), bench.cache.total()) << "blocks leaked";
}

TEST(Scheduler, RandomWorkLeaksStarvesAndOverrunsNothing) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    const int64_t chunk = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 16 : 512;
    RunRandomWork(seed, {.max_batch_tokens = 32, .prefill_chunk = chunk, .max_sequences = 6},
                  static_cast<int32_t>(3 + seed * 2), 1000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace quire::worker
