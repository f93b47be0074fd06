// The engine over a whole model on the CUDA backend: with two steps in flight it gives the tokens, and the
// logprobs to the bit, that it gives with one; a follower's launch that fails loses the group at once. Where:
// as cuda_model_test.cc, which it stands beside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <map>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "tests/golden/cuda_model.h"
#include "worker/engine/engine.h"
#include "worker/model/test_checkpoint.h"
#include "worker/model/transformer_runner.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/shm_group.h"

namespace quire::golden {
namespace {

using worker::GenerationRequest;
using worker::TestCheckpoint;

constexpr worker::TestShape kModel{
    .hidden = 128, .query_heads = 8, .kv_heads = 4, .ffn = 256, .rounds = true, .head_dim = 64};
constexpr int32_t kBlocks = 24;
constexpr worker::SchedulerLimits kLimits{
    .max_batch_tokens = 24, .prefill_chunk = 16, .max_sequences = 6, .target_step_ms = 0};

// Runs no step ahead.
class OneAtATime final : public worker::ModelRunner {
 public:
  explicit OneAtATime(ModelRunner& runner) : runner_(runner) {}
  absl::Status Launch(const worker::BatchPlan& plan) override { return runner_.Launch(plan); }
  absl::StatusOr<worker::StepResult> Collect() override { return runner_.Collect(); }

 private:
  ModelRunner& runner_;
};

// One of a follower's launches fails, if any: as where a library can't multiply, the step goes on.
class FailingLaunch final : public worker::ModelRunner {
 public:
  FailingLaunch(ModelRunner& runner, kernels::Backend& backend, int64_t fails)
      : runner_(runner), backend_(backend), fails_(fails) {
    if (fails == 0) return;
    wide_ = backend.Allocate(kernels::DType::kF32, 1, kTooWide).value();
    out_ = backend.Allocate(kernels::DType::kBf16, 1, kTooWide).value();
    weight_ = backend.AddVector(std::vector<float>(kTooWide)).value();
  }
  bool runs_ahead() const override { return runner_.runs_ahead(); }
  absl::Status Launch(const worker::BatchPlan& plan) override {
    if (++launched_ == fails_) backend_.RmsNorm(wide_, weight_, 1e-5f, out_);
    return runner_.Launch(plan);
  }
  absl::StatusOr<worker::StepResult> Collect() override { return runner_.Collect(); }
  int64_t launched() const { return launched_; }

 private:
  static constexpr int64_t kTooWide = 20480;
  ModelRunner& runner_;
  kernels::Backend& backend_;
  const int64_t fails_;
  int64_t launched_ = 0;
  kernels::Tensor wide_, out_;
  kernels::VectorId weight_{};
};

// Of each request's choices: ids and their logprobs; and how many steps there were, and ahead.
struct Answers {
  std::map<std::pair<uint64_t, uint32_t>, std::vector<std::pair<TokenId, float>>> tokens;
  std::vector<absl::Status> ends;
  double steps = 0, ahead = 0;
  // Of the last rank.
  int64_t launched = 0;
  absl::Status ran;
};

// Whose engine serves what.
struct Case {
  int ranks = 1;
  bool ahead = true;
  std::vector<GenerationRequest> requests;
  int64_t fails = 0;  // which launch of the last rank, from 1
};

std::vector<GenerationRequest> Requests() {
  const auto asked = [](int64_t prompt, TokenId first, int64_t tokens) {
    GenerationRequest request;
    for (int64_t i = 0; i < prompt; ++i) request.prompt_ids.push_back((first + i * 7) % 50);
    request.max_tokens = tokens;
    request.ignore_eos = true;
    request.sampling.logprobs = true;
    request.seed = static_cast<uint64_t>(first);
    return request;
  };
  std::vector<GenerationRequest> requests = {asked(21, 3, 9), asked(5, 11, 12), asked(18, 20, 6),
                                             asked(2, 1, 2), asked(21, 3, 4)};
  requests[0].choices = {{.index = 0}, {.index = 2}};
  requests[1].sampling.temperature = 0;
  requests[1].sampling.top_logprobs = 3;
  requests[2].sampling.logit_bias = {{7, 2.0f}, {30, -5.0f}};
  requests[2].ignore_eos = false;
  requests[2].stop_ids = {4, 9, 17, 31, 40};
  requests[2].min_tokens = 3;
  requests[3].sampling.frequency_penalty = 0.7f;  // no step runs ahead beside it
  requests[4].sampling.top_p = 0.8f;
  return requests;
}

double Metric(const Metrics& metrics, const std::string& name) {
  const std::string text = metrics.Text();
  const size_t at = text.find("\n" + name + " ");
  double value = -1;
  if (at == std::string::npos) return value;
  const std::string rest = text.substr(at + name.size() + 2);
  (void)absl::SimpleAtod(rest.substr(0, rest.find('\n')), &value);
  return value;
}

// Rank 0's part.
void Serve(worker::ModelRunner& runner, const std::vector<GenerationRequest>& requests, Answers& answers) {
  answers.ends.resize(requests.size(), absl::UnknownError("no end"));
  Metrics metrics;
  SystemClock clock;
  const auto take = [&](const std::vector<worker::Update>& updates) {
    for (const worker::Update& update : updates) {
      auto& tokens = answers.tokens[{update.to.tag, update.choice}];
      for (size_t i = 0; i < update.ids.size(); ++i) {
        tokens.emplace_back(update.ids[i], update.logprobs.at(i));
      }
      if (update.ended) answers.ends[update.to.tag] = *update.ended;
    }
  };
  worker::Engine engine({.limits = kLimits,
                         .kv_blocks = kBlocks,
                         .plain_context = kBlocks * kBlockTokens,
                         .scaled_context = 0,
                         .waiting_room = 64},
                        &runner, &metrics, &clock, take, [](const absl::Status&) {});
  uint64_t tag = 0;
  for (const GenerationRequest& request : requests) {
    EXPECT_TRUE(engine.Submit(worker::Share(GenerationRequest(request)), {.session = 1, .tag = tag++}).ok());
  }
  EXPECT_TRUE(engine.AwaitIdle(absl::Hours(1)));
  engine.Stop(absl::UnavailableError("the test is over"));
  answers.steps = Metric(metrics, "quire_worker_steps_total");
  answers.ahead = Metric(metrics, "quire_worker_steps_ahead_total");
}

absl::Status RunRank(const TestCheckpoint& model, worker::RankGroup& group,
                     std::atomic<kernels::Communicator*>& stopped, kernels::Device& device,
                     const Case& tested, Answers& answers) {
  QUIRE_ASSIGN_OR_RETURN(device, kTested.make(*group.rendezvous));
  stopped = device.communicator.get();
  const absl::Status ran = [&]() -> absl::Status {
    QUIRE_ASSIGN_OR_RETURN(const worker::Checkpoint checkpoint, model.Open());
    QUIRE_ASSIGN_OR_RETURN(const auto runner,
                           worker::TransformerRunner::Load(checkpoint,
                                                           {.kv_blocks = kBlocks,
                                                            .max_batch_tokens = kLimits.max_batch_tokens,
                                                            .max_sequences = kLimits.max_sequences,
                                                            .max_wanted_rows = kLimits.wanted_rows()},
                                                           *device.backend, *device.communicator));
    const bool last = group.rank() > 0 && group.rank() + 1 == tested.ranks;
    FailingLaunch failing(*runner, *device.backend, last ? tested.fails : 0);
    // On one GPU no memory is had while kernels of some ranks wait for others'.
    QUIRE_RETURN_IF_ERROR(group.rendezvous->AllGather("loaded").status());
    if (group.rank() > 0) {
      const absl::Status ended = RunFollower(group, failing);
      if (last) {
        answers.launched = failing.launched();
        answers.ran = ended;
      }
      return ended;
    }
    worker::DistributedRunner distributed(group, *runner);
    OneAtATime one(distributed);
    Serve(tested.ahead ? static_cast<worker::ModelRunner&>(distributed) : one, tested.requests, answers);
    return distributed.StopFollowers();
  }();
  if (!ran.ok()) group.liveness->Lose(std::string(ran.message()));
  stopped = nullptr;
  return ran;
}

Answers AnswersOf(const TestCheckpoint& model, const Case& tested) {
  static std::atomic<int> next{0};
  const std::string name = absl::StrCat("quire-test-golden-", getpid(), "-", next++);
  Answers answers;
  std::latch all_ended(tested.ranks);  // before any rank's device goes
  std::vector<std::thread> threads;
  for (int rank = 0; rank < tested.ranks; ++rank) {
    threads.emplace_back([&, rank] {
      std::atomic<kernels::Communicator*> stopped{nullptr};
      worker::ShmGroupOptions options;
      options.shm = std::make_shared<worker::GroupName>(name);
      options.rank = rank;
      options.size = tested.ranks;
      options.stale_ms = 600'000;  // loaded machines pause threads
      auto group = worker::JoinShmGroup(options, {[&stopped] {
                                          if (auto* communicator = stopped.load()) communicator->Stop();
                                        }});
      kernels::Device device;
      const absl::Status ran =
          group.ok() ? RunRank(model, *group, stopped, device, tested, answers) : group.status();
      EXPECT_EQ(ran.ok(), tested.fails == 0) << ran;
      all_ended.arrive_and_wait();
      if (group.ok()) group->liveness->Leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& end : answers.ends) EXPECT_EQ(end.ok(), tested.fails == 0) << end;
  return answers;
}

TEST(CudaEngine, StepsAheadGiveTheSameTokensOnAnyNumberOfRanks) {
  const TestCheckpoint model("BF16", kModel);
  const Answers one = AnswersOf(model, {.ahead = false, .requests = Requests()});
  EXPECT_EQ(one.ahead, 0);
  for (const int ranks : {1, 2, 4}) {
    const Answers ahead = AnswersOf(model, {.ranks = ranks, .requests = Requests()});
    EXPECT_GT(ahead.ahead, 5) << "of " << ahead.steps << ", " << ranks << " ranks";
    EXPECT_EQ(ahead.tokens, one.tokens) << ranks << " ranks";
  }
  EXPECT_EQ(AnswersOf(model, {.ranks = 2, .ahead = false, .requests = Requests()}).tokens, one.tokens);
  EXPECT_EQ((one.tokens.at({0, 0}).size()), 9u);
  EXPECT_NE((one.tokens.at({0, 0})), (one.tokens.at({0, 2})));
}

// Not when it is collected, behind the next launch: rank 0 may have told what came of it by then.
TEST(CudaEngine, AFollowersFailedLaunchLosesTheGroupAtOnce) {
  const TestCheckpoint model("BF16", kModel);
  constexpr int64_t kFails = 4;
  const Answers answers = AnswersOf(model, {.ranks = 2, .requests = {Requests()[1]}, .fails = kFails});
  EXPECT_EQ(answers.launched, kFails);
  EXPECT_THAT(std::string(answers.ran.message()), testing::HasSubstr("longer than AddRmsNorm's registers"));
  EXPECT_EQ(answers.ends.at(0).code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(answers.ahead, 0);
}

}  // namespace
}  // namespace quire::golden
