#include "worker/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/core/mutex.h"
#include "worker/engine/testing/scripted_runner.h"

namespace quire::worker {
namespace {

constexpr int64_t kContext = 100'000;
constexpr uint64_t kSession = 3;

// What a request got so far. Written by the emitter's thread.
struct Answer {
  std::vector<TokenId> ids;
  int64_t next_position = 0;
  bool gap = false;
  std::optional<int64_t> cached_tokens;
  std::optional<FinishCause> finished;
  absl::Status failed;
  int ends = 0;
  Notification first_token, done;

  void Take(Update update) {
    if (update.cached_tokens) cached_tokens = update.cached_tokens;
    gap |= !update.ids.empty() && update.first_position != next_position;
    ids.insert(ids.end(), update.ids.begin(), update.ids.end());
    next_position += static_cast<int64_t>(update.ids.size());
    if (!update.ids.empty() && !first_token.HasBeenNotified()) first_token.Notify();
    if (!update.finished && update.failed.ok()) return;
    finished = update.finished;
    failed = update.failed;
    ++ends;
    done.Notify();
  }
};

struct Knobs {
  SchedulerLimits limits;
  int32_t kv_blocks = 64;
  int64_t waiting_room = 64;
  ScriptedOptions script;
};

class TestEngine {
 public:
  explicit TestEngine(Knobs knobs) : script_(std::move(knobs.script)) {
    script_.kv_blocks = knobs.kv_blocks;
    runner_ = std::make_unique<ScriptedRunner>(script_);
    EngineOptions options;
    options.limits = knobs.limits;
    options.kv_blocks = knobs.kv_blocks;
    options.plain_context = options.scaled_context = kContext;
    options.waiting_room = knobs.waiting_room;
    engine_ = std::make_unique<Engine>(
        options, runner_.get(), &metrics_, &clock_,
        [this](std::vector<Update> updates) { Take(std::move(updates)); },
        [this](absl::Status why) { lost_ = std::move(why); });
  }

  absl::StatusOr<uint64_t> Submit(GenerationRequest request, std::shared_ptr<Answer> answer) {
    answer->next_position = static_cast<int64_t>(request.resumed_ids.size());
    uint64_t tag = 0;
    {
      MutexLock lock(&mutex_);
      tag = answers_.size();
      answers_.push_back(std::move(answer));
    }
    return engine_->Submit(std::move(request), {kSession, tag});
  }

  std::shared_ptr<Answer> Start(GenerationRequest request) {
    auto answer = std::make_shared<Answer>();
    EXPECT_TRUE(Submit(std::move(request), answer).ok());
    return answer;
  }

  std::shared_ptr<Answer> RunToEnd(GenerationRequest request) {
    auto answer = Start(std::move(request));
    answer->done.WaitForNotification();
    return answer;
  }

  // What the request must get, computed alone over plain tokens.
  std::vector<TokenId> Expected(const GenerationRequest& request) const {
    Sequence sequence(0, request, kContext);
    std::vector<TokenId> tokens = request.prompt_ids;
    tokens.insert(tokens.end(), request.resumed_ids.begin(), request.resumed_ids.end());
    while (!sequence.finished()) {
      SampleSpec sample;
      sample.seed = request.seed;
      sample.choice = request.choice;
      sample.position = static_cast<uint32_t>(sequence.output().size());
      if (sample.position < request.min_tokens) sample.params.masked_ids = request.stop_ids;
      tokens.push_back(ScriptedToken(script_, tokens, request.scaled_rope, sample));
      sequence.Append(tokens.back());
    }
    return {tokens.begin() + static_cast<int64_t>(request.prompt_ids.size() + request.resumed_ids.size()),
            tokens.end()};
  }

  // Ends the engine, so that its counters stand still; checks what must hold after any work.
  void StopAndAudit() {
    EXPECT_TRUE(engine_->AwaitIdle(absl::Seconds(30)));
    engine_->Stop(absl::UnavailableError("the test is over"));
    EXPECT_EQ(engine_->load().kv_blocks_free, engine_->load().kv_blocks_total);
    EXPECT_EQ(Metric("quire_worker_integrity_errors_total"), 0);
    EXPECT_LE(Metric("quire_worker_steps_after_cancel_max"), 2);
  }

  double Metric(const std::string& name) const {
    const std::string text = metrics_.Text();
    const size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }

  Engine& engine() { return *engine_; }
  const absl::Status& lost() const { return lost_; }

  // How often updates were handed over.
  int batches() const {
    MutexLock lock(&mutex_);
    return batches_;
  }

 private:
  void Take(std::vector<Update> updates) {
    std::vector<std::shared_ptr<Answer>> answers;
    {
      MutexLock lock(&mutex_);
      ++batches_;
      for (const Update& update : updates) answers.push_back(answers_[update.to.tag]);
    }
    for (size_t i = 0; i < updates.size(); ++i) {
      EXPECT_EQ(updates[i].to.session, kSession);
      answers[i]->Take(std::move(updates[i]));
    }
  }

  Metrics metrics_;
  SystemClock clock_;
  ScriptedOptions script_;
  absl::Status lost_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Answer>> answers_ ABSL_GUARDED_BY(mutex_);  // by tag
  int batches_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<ScriptedRunner> runner_;
  std::unique_ptr<Engine> engine_;
};

GenerationRequest RandomRequest(std::mt19937& random) {
  GenerationRequest request;
  const int64_t prompt = 1 + random() % 100;
  // Few different beginnings, so that the prefix cache has work.
  const TokenId family = static_cast<TokenId>(random() % 3);
  for (int64_t i = 0; i < prompt; ++i)
    request.prompt_ids.push_back(i < 40 ? family : static_cast<TokenId>(random() % 900));
  request.max_tokens = 1 + random() % 40;
  request.seed = random();
  request.stop_ids = {7};
  request.min_tokens = random() % 5;
  request.cache_salt = random() % 2 == 0 ? "a" : "b";
  return request;
}

GenerationRequest Request(int64_t prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt_ids.assign(prompt, 5);
  request.max_tokens = max_tokens;
  return request;
}

// Thirty-two requests at once get what each would get alone, whatever the chunk and however few the blocks.
void ExpectSameness(Knobs knobs, uint32_t seed) {
  knobs.script.stop_every = 30;
  knobs.script.stop_id = 7;
  // The first step waits until all are there: on a busy machine each would else be done before the next one
  // comes.
  auto all_there = std::make_shared<Notification>();
  knobs.script.on_launch = [all_there](const BatchPlan&) {
    all_there->WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  std::mt19937 random(seed);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 32; ++i) requests.push_back(RandomRequest(random));
  for (int round = 0; round < 2; ++round) {  // the second one finds prefixes in the cache
    std::vector<std::shared_ptr<Answer>> answers;
    for (const GenerationRequest& request : requests) answers.push_back(group.Start(request));
    if (round == 0) all_there->Notify();
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i]->done.WaitForNotification();
      EXPECT_EQ(answers[i]->ids, group.Expected(requests[i])) << "request " << i << " of seed " << seed;
      EXPECT_FALSE(answers[i]->gap);
      EXPECT_EQ(answers[i]->ends, 1);
    }
  }
  group.StopAndAudit();
  EXPECT_GE(group.Metric("quire_worker_batch_sequences_max"), knobs.kv_blocks > 100 ? 16 : 2);
  EXPECT_TRUE(knobs.kv_blocks > 100 || group.Metric("quire_worker_preemptions_total") > 0);
  EXPECT_GT(group.Metric("quire_worker_prefix_cache_hit_tokens_total"), 0);
}

// Without headroom, so that sequences are preempted.
TEST(Engine, SamenessAtEveryChunkAndUnderPreemption) {
  for (const int64_t chunk : {1, 16, 512}) {
    for (const int32_t blocks : {400, 24}) {
      SCOPED_TRACE(testing::Message() << "chunk " << chunk << ", blocks " << blocks);
      const SchedulerLimits limits = {
          .max_batch_tokens = 512, .prefill_chunk = chunk, .max_sequences = 32, .headroom_tokens = 0};
      for (uint32_t seed = 1; seed <= 5; ++seed) ExpectSameness({limits, blocks, 64, {}}, seed);
    }
  }
}

TEST(Engine, CachedPrefixIsReportedAndChangesNothing) {
  TestEngine group{Knobs()};
  const GenerationRequest request = Request(40, 10);
  const auto first = group.RunToEnd(request);
  const auto second = group.RunToEnd(request);
  EXPECT_EQ(first->cached_tokens, 0);
  EXPECT_EQ(second->cached_tokens, 32);
  EXPECT_EQ(first->ids, second->ids);
  group.StopAndAudit();
}

TEST(Engine, ResumedRequestContinuesTheUndisturbedRun) {
  TestEngine group{Knobs()};
  GenerationRequest request = Request(20, 30);
  const std::vector<TokenId> whole = group.RunToEnd(request)->ids;
  ASSERT_EQ(whole.size(), 30u);
  request.resumed_ids.assign(whole.begin(), whole.begin() + 13);
  const auto resumed = group.RunToEnd(request);
  EXPECT_EQ(resumed->ids, std::vector<TokenId>(whole.begin() + 13, whole.end()));
  EXPECT_EQ(resumed->next_position, 30);
  EXPECT_EQ(resumed->cached_tokens, 20);  // never more than the prompt
  group.StopAndAudit();
}

TEST(Engine, ResumedRequestThatIsCompleteEndsAtOnce) {
  TestEngine group{Knobs()};
  GenerationRequest request = Request(20, 2);
  request.resumed_ids = {1, 2};
  const auto answer = group.RunToEnd(request);
  EXPECT_TRUE(answer->ids.empty());
  EXPECT_EQ(answer->finished, FinishCause::kLength);
  EXPECT_TRUE(answer->cached_tokens.has_value());
  group.StopAndAudit();
}

TEST(Engine, RefusesAtTheBoundAndTakesAgainLater) {
  Notification go;
  Knobs knobs;
  knobs.limits.max_sequences = 1;
  knobs.waiting_room = 2;
  knobs.script.on_launch = [&](const BatchPlan&) {
    go.WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(group.Start(Request(5, 3)));
  EXPECT_EQ(group.Submit(Request(5, 3), std::make_shared<Answer>()).status().code(),
            absl::StatusCode::kResourceExhausted);
  go.Notify();
  for (auto& answer : answers) answer->done.WaitForNotification();
  EXPECT_TRUE(group.engine().AwaitIdle(absl::Seconds(30)));
  EXPECT_EQ(group.RunToEnd(Request(5, 3))->ids.size(), 3u);
  group.StopAndAudit();
}

TEST(Engine, CancelledRunningAndWaitingRequestsStopAndFreeTheirBlocks) {
  Notification cancelled;
  Knobs knobs;
  knobs.limits.max_sequences = 1;
  knobs.script.on_launch = [&](const BatchPlan& plan) {
    if (plan.step == 3) cancelled.WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  auto running = std::make_shared<Answer>(), waiting = std::make_shared<Answer>();
  const auto running_ticket = group.Submit(Request(5, 900), running);
  const auto waiting_ticket = group.Submit(Request(5, 900), waiting);
  running->first_token.WaitForNotification();
  group.engine().Cancel(*waiting_ticket);
  group.engine().Cancel(*running_ticket);
  group.engine().Cancel(*running_ticket);  // twice is once
  cancelled.Notify();
  group.StopAndAudit();
  EXPECT_EQ(running->ends + waiting->ends, 0);
  EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 2);
  EXPECT_LE(running->ids.size(), 3u);
  EXPECT_TRUE(waiting->ids.empty());
}

TEST(Engine, RandomCancelsLeakNothing) {
  Knobs knobs;
  knobs.kv_blocks = 24;
  TestEngine group(knobs);
  std::mt19937 random(1);
  std::vector<uint64_t> tickets;
  for (int i = 0; i < 500; ++i) {
    const auto ticket = group.Submit(RandomRequest(random), std::make_shared<Answer>());
    if (ticket.ok()) tickets.push_back(*ticket);
    if (random() % 2 == 0 && !tickets.empty()) group.engine().Cancel(tickets[random() % tickets.size()]);
  }
  for (const uint64_t ticket : tickets) group.engine().Cancel(ticket);
  group.StopAndAudit();
}

TEST(Engine, FailedRowFailsItsRequestOnly) {
  Knobs knobs;
  knobs.script.on_collect = [](const BatchPlan& plan, StepResult& result) {
    size_t token = 0;
    for (const SequencePlan& sequence : plan.sequences) {
      if (!sequence.wants_logits) continue;
      result.tokens[token++].failed = sequence.sample->seed == 666 && sequence.sample->position == 3;
    }
  };
  TestEngine group(knobs);
  GenerationRequest bad = Request(20, 30);
  bad.seed = 666;
  const auto good_answer = group.Start(Request(20, 30));
  const auto bad_answer = group.Start(bad);
  good_answer->done.WaitForNotification();
  bad_answer->done.WaitForNotification();
  EXPECT_EQ(good_answer->ids, group.Expected(Request(20, 30)));
  EXPECT_EQ(bad_answer->failed.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad_answer->ids.size(), 3u);
  group.StopAndAudit();
}

// Its blocks hold what made the row fail, and were named in the steps before.
TEST(Engine, AFailedRowsBlocksAreFoundByNobody) {
  Knobs knobs;
  knobs.script.on_collect = [](const BatchPlan& plan, StepResult& result) {
    for (const SequencePlan& sequence : plan.sequences) {
      if (sequence.wants_logits) result.tokens[0].failed = sequence.sample->seed == 666;
    }
  };
  TestEngine group(knobs);
  GenerationRequest bad = Request(100, 3);
  bad.seed = 666;
  const auto bad_answer = group.Start(bad);
  bad_answer->done.WaitForNotification();
  EXPECT_EQ(bad_answer->failed.code(), absl::StatusCode::kInternal);
  const auto again = group.Start(Request(100, 3));
  again->done.WaitForNotification();
  EXPECT_EQ(again->ids, group.Expected(Request(100, 3)));
  EXPECT_EQ(again->cached_tokens, 0);
  group.StopAndAudit();
}

TEST(Engine, LostGroupFailsEverybodyAndAdmitsNobody) {
  Knobs knobs;
  Notification both_are_there;
  knobs.script.on_launch = [&](const BatchPlan& plan) -> absl::Status {
    if (plan.step < 5) return absl::OkStatus();
    both_are_there.WaitForNotification();
    return absl::UnavailableError("rank 1 is silent");
  };
  TestEngine group(knobs);
  const auto first = group.Start(Request(5, 100)), second = group.Start(Request(5, 100));
  both_are_there.Notify();
  first->done.WaitForNotification();
  second->done.WaitForNotification();
  EXPECT_EQ(first->failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second->failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(group.Submit(Request(5, 1), std::make_shared<Answer>()).status().code(),
            absl::StatusCode::kUnavailable);
  group.StopAndAudit();
  EXPECT_EQ(group.lost().message(), "rank 1 is silent");
}

TEST(Engine, DrainFinishesWhatIsThereAndRefusesTheRest) {
  TestEngine group{Knobs()};
  const auto answer = group.Start(Request(20, 50));
  group.engine().StopAdmitting(absl::UnavailableError("draining"));
  EXPECT_EQ(group.Submit(Request(5, 1), std::make_shared<Answer>()).status().message(), "draining");
  EXPECT_TRUE(group.engine().AwaitIdle(absl::Seconds(30)));
  answer->done.WaitForNotification();
  EXPECT_EQ(answer->ids.size(), 50u);
  group.StopAndAudit();
}

TEST(Engine, StopFailsWhatIsLeft) {
  Knobs knobs;
  knobs.kv_blocks = 6000;
  TestEngine group(knobs);
  const auto answer = group.Start(Request(20, 90'000));  // more than a scripted runner makes in a minute
  answer->first_token.WaitForNotification();
  group.engine().Stop(absl::UnavailableError("the drain took too long"));
  EXPECT_EQ(answer->failed.message(), "the drain took too long");
  EXPECT_EQ(answer->ends, 1);
}

TEST(Engine, WhatAStepBroughtToAllIsHandedOverAtOnce) {
  Knobs knobs;
  knobs.limits.target_step_ms = 0;  // all prompts go in one step, also beside the first one's decode
  Notification all_there;
  knobs.script.on_launch = [&](const BatchPlan&) {
    all_there.WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 16; ++i) answers.push_back(group.Start(Request(5, 10)));
  all_there.Notify();
  for (const auto& answer : answers) answer->done.WaitForNotification();
  group.StopAndAudit();
  EXPECT_EQ(group.batches(), group.Metric("quire_worker_steps_total"));
  EXPECT_LE(group.batches(), 11);  // the first step may have begun with some of them only
}

TEST(Engine, RequestThatCanNeverFitFailsAlone) {
  Knobs knobs;
  knobs.kv_blocks = 4;
  TestEngine group(knobs);
  const auto answer = group.RunToEnd(Request(50, 100));
  EXPECT_EQ(answer->failed.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group.RunToEnd(Request(50, 10))->ids.size(), 10u);
  group.StopAndAudit();
}

}  // namespace
}  // namespace quire::worker
