// Whatever happens, an engine that runs ahead answers as one does that waits for each step: over random
// requests, penalties, grammars, choices, stop ids, cancels and preemptions.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

constexpr TokenId kAheadStopId = 7;

std::shared_ptr<const CompiledGrammar> AnyOfThree(int64_t positions) {
  std::string source;
  for (int64_t i = 0; i < positions; ++i)
    absl::StrAppend(&source, i > 0 ? ";" : "", 20 + i, ",", 300 + i, ",5");
  return *ScriptedGrammarCompiler().Compile("scripted", source, 1000);
}

GenerationRequest AnyRequest(std::mt19937& random, uint32_t odd_ones) {
  GenerationRequest request;
  request.prompt_ids = RandomPrompt(random);
  request.max_tokens = static_cast<int64_t>(1 + random() % 40);
  request.seed = random();
  request.stop_ids = {kAheadStopId};
  request.min_tokens = static_cast<int64_t>(random() % 5);
  request.sampling.logprobs = random() % 2 == 0;
  request.cache_salt = random() % 2 == 0 ? "a" : "b";
  std::vector<uint32_t> indexes;
  for (uint32_t n = 0; n <= random() % 4; ++n) indexes.push_back(n);
  request.choices = Choices(indexes);
  if (random() % 4 == 0) request.choices[0].resumed_ids.assign(random() % request.max_tokens, 11);
  if (random() % 4 == 0) {
    const auto from = static_cast<int64_t>(1 + random() % request.prompt_ids.size());
    request.scoring = {.from = from, .top_logprobs = static_cast<int32_t>(random() % 3)};
  }
  const uint32_t odd = random() % 100;
  if (odd < odd_ones) request.sampling.frequency_penalty = 1;
  if (odd < odd_ones / 2 && request.choices[0].resumed_ids.empty()) request.grammar = AnyOfThree(25);
  return request;
}

// Hands requests in, and cancels some, as a seed says: when steps are launched, and when nothing is left to
// do.
class SeededLoad {
 public:
  SeededLoad(uint32_t seed, std::vector<GenerationRequest> requests)
      : random_(seed), requests_(std::move(requests)) {}

  void Drive(ScriptedOptions& script) {
    script.on_launch = [this](const BatchPlan&) {
      MutexLock lock(&mutex_);
      while (random_() % 3 == 0 && Next()) continue;
      if (random_() % 8 == 0 && !tickets_.empty()) {
        const size_t one = random_() % tickets_.size();
        cancelled_.at(one) = true;
        engine_->engine().Cancel(tickets_[one]);
      }
      return absl::OkStatus();
    };
  }
  void Run(TestEngine& engine) {
    engine_ = &engine;
    for (bool more = true; more;) {
      {
        MutexLock lock(&mutex_);
        more = Next();
      }
      EXPECT_TRUE(engine.engine().AwaitIdle(absl::Seconds(60)));
    }
    engine.StopAndAudit();
  }

  // After Run.
  const std::vector<std::shared_ptr<RequestAnswer>>& answers() const { return answers_; }
  // One may have been whole all the same.
  bool cancelled(size_t request) const { return cancelled_[request]; }

 private:
  bool Next() {
    if (answers_.size() == requests_.size()) return false;
    const GenerationRequest& request = requests_[answers_.size()];
    answers_.push_back(std::make_shared<RequestAnswer>(request));
    cancelled_.push_back(false);
    const auto ticket = engine_->Submit(request, answers_.back());
    EXPECT_TRUE(ticket.ok()) << ticket.status();
    tickets_.push_back(*ticket);
    return true;
  }

  Mutex mutex_;
  std::mt19937 random_;
  const std::vector<GenerationRequest> requests_;
  TestEngine* engine_ = nullptr;
  std::vector<std::shared_ptr<RequestAnswer>> answers_;
  std::vector<uint64_t> tickets_;
  std::vector<bool> cancelled_;
};

struct RunCounts {
  double ahead = 0, preemptions = 0, hits = 0, cancels = 0;
};

// Of a cancelled one only what came before is looked at.
void ExpectAnswers(const TestEngine& group, const std::vector<GenerationRequest>& requests,
                   const SeededLoad& load, const SeededLoad& waiting) {
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "request " << i);
    for (size_t nth = 0; nth < requests[i].choices.size(); ++nth) {
      const uint32_t index = requests[i].choices[nth].index;
      std::vector<TokenId> got = load.answers()[i]->ids(index), expected = waiting.answers()[i]->ids(index);
      if (requests[i].grammar == nullptr) {
        expected = group.Expected(requests[i], nth);
      } else if (waiting.cancelled(i)) {
        const size_t both = std::min(got.size(), expected.size());
        got.resize(both), expected.resize(both);
      }
      if (load.cancelled(i)) expected.resize(std::min(got.size(), expected.size()));
      EXPECT_EQ(got, expected) << "choice " << index;
    }
    EXPECT_TRUE(load.cancelled(i) || load.answers()[i]->status().ok()) << load.answers()[i]->status();
    TestEngine::ExpectScores(requests[i], *load.answers()[i]);
    EXPECT_TRUE(load.cancelled(i) || load.answers()[i]->next_score >= load.answers()[i]->last_score);
  }
}

RunCounts ExpectSameAnswers(uint32_t seed, EngineKnobs knobs, uint32_t odd_ones) {
  std::mt19937 random(seed);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 32; ++i) requests.push_back(AnyRequest(random, odd_ones));
  knobs.script.stop_every = 15;
  knobs.script.stop_id = kAheadStopId;
  SeededLoad waiting(seed, requests), load(seed, requests);
  EngineKnobs waits = knobs;
  waiting.Drive(waits.script);
  TestEngine one_by_one(waits);
  waiting.Run(one_by_one);
  ExpectAnswers(one_by_one, requests, waiting, waiting);
  knobs.script.runs_ahead = true;
  load.Drive(knobs.script);
  TestEngine group(knobs);
  load.Run(group);
  ExpectAnswers(group, requests, load, waiting);
  EXPECT_EQ(one_by_one.Metric("quire_worker_steps_ahead_total"), 0);
  return {.ahead = group.Metric("quire_worker_steps_ahead_total"),
          .preemptions = group.Metric("quire_worker_preemptions_total"),
          .hits = group.Metric("quire_worker_prefix_cache_hit_tokens_total"),
          .cancels = group.Metric("quire_worker_cancels_total")};
}

TEST(AheadSameness, AnswersAreThoseOfOneStepAfterTheOther) {
  RunCounts sum;
  for (uint32_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    EngineKnobs knobs;
    knobs.limits.target_step_ms = 0;  // plans depend on no clock
    const int64_t chunks[] = {1, 7, 16, 512};
    const int32_t blocks[] = {14, 24, 400};
    const uint32_t odd_ones[] = {0, 0, 5, 40};
    knobs.limits.prefill_chunk = chunks[seed % 4];
    knobs.limits.max_sequences = seed % 5 == 0 ? 3 : 32;
    knobs.limits.headroom_tokens = seed % 2 == 0 ? 0 : 64;
    knobs.kv_blocks = blocks[seed % 3];
    knobs.waiting_room = 200;
    const RunCounts counts = ExpectSameAnswers(seed, knobs, odd_ones[seed / 3 % 4]);
    EXPECT_GT(counts.ahead, 0);
    sum.preemptions += counts.preemptions;
    sum.hits += counts.hits;
    sum.cancels += counts.cancels;
    sum.ahead += counts.ahead;
  }
  EXPECT_GT(sum.preemptions, 0);
  EXPECT_GT(sum.hits, 0);
  EXPECT_GT(sum.cancels, 0);
  EXPECT_GT(sum.ahead, 1000);
}

}  // namespace
}  // namespace quire::worker
