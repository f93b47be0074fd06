#include "worker/model/transformer_runner.h"

#include <gtest/gtest.h>

#include "kernels/backend_factory.h"
#include "kernels/reference/reference_backend.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/model/idle_backend.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

class TransformerRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    runner_ = Load("yarn:4:32");
    sampling_.params.logprobs = true;
  }

  std::unique_ptr<TransformerRunner> Load(const std::string& rope_scaling, bool runs_ahead = false) {
    backends_.push_back(kernels::MakeReferenceBackend(runs_ahead));
    const auto checkpoint = checkpoint_.Open(rope_scaling);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    auto runner = TransformerRunner::Load(*checkpoint, Options(), *backends_.back(), alone_);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return *std::move(runner);
  }
  static TransformerOptions Options() {
    return {.kv_blocks = 16,
            .max_batch_tokens = 40,
            .max_sequences = 3,
            .max_wanted_rows = 4,
            .tokenizer_size = 48};
  }

  // The raw log-probability tells logits apart that sample the same id.
  using Sampled = std::pair<TokenId, float>;
  std::vector<Sampled> Run(PlanBuilder& builder) {
    const BatchPlan plan = builder.Take();
    const absl::Status launched = runner_->Launch(plan);
    EXPECT_TRUE(launched.ok()) << launched;
    const auto result = runner_->Collect();
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<Sampled> sampled;
    for (const SampledToken& token : result->tokens) {
      EXPECT_FALSE(token.failed);
      sampled.emplace_back(token.id, token.logprob);
    }
    return sampled;
  }
  // What a sequence of these tokens samples next, alone, in blocks that nobody else has here.
  Sampled Alone(const std::vector<TokenId>& ids, const RowSampling& row = {}, OpenSlot op = {.slot = 2}) {
    std::vector<int32_t> blocks;
    for (int32_t i = 0; i < BlocksFor(std::ssize(ids)); ++i) blocks.push_back(15 - i);
    const auto sampled = Run(next_.Open(op, sampling_).Rows(2, 0, ids, blocks).Want(row));
    Run(next_.Op(CloseSlot{2}));
    return sampled.front();
  }
  static std::vector<TokenId> Tokens(int64_t count, int64_t step = 7) {
    std::vector<TokenId> ids(count);
    for (int64_t i = 0; i < count; ++i) ids[i] = static_cast<TokenId>(i * step % 48);
    return ids;
  }

  const TestCheckpoint checkpoint_{"BF16"};
  IdlePlace alone_{0, 1};
  std::vector<std::unique_ptr<kernels::Backend>> backends_;
  std::unique_ptr<TransformerRunner> runner_;
  SlotSampling sampling_;
  PlanBuilder next_;
};

// Whose calls failed on the device after they were enqueued.
class LostLater final : public kernels::Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  absl::Status AllReduceSum(kernels::Tensor) override { return absl::OkStatus(); }
  absl::Status Gather(const kernels::ByteSpans&, std::span<const kernels::ByteSpans>) override {
    return absl::OkStatus();
  }
  absl::Status Check() const override { return absl::UnavailableError("a cable is out"); }
};

TEST_F(TransformerRunnerTest, WhatALostExchangeLeftIsNoToken) {
  LostLater lost;
  backends_.push_back(kernels::MakeReferenceBackend());
  const auto runner = TransformerRunner::Load(*checkpoint_.Open(), Options(), *backends_.back(), lost);
  ASSERT_TRUE(runner.ok()) << runner.status();
  ASSERT_TRUE(
      (*runner)->Launch(next_.Open({.slot = 1}, sampling_).Rows(1, 0, {1, 2}, {0}).Want().Take()).ok());
  EXPECT_EQ((*runner)->Collect().status(), absl::UnavailableError("a cable is out"));
}

TEST_F(TransformerRunnerTest, ABatchGivesWhatEachSequenceGivesAlone) {
  const std::vector<TokenId> a = {1, 2, 3, 4, 5}, b = {9, 8, 7};
  const Sampled alone_a = Alone(a), alone_b = Alone(b);
  next_.Open({.slot = 1}, sampling_).Open({.slot = 0}).Open({.slot = 2}, sampling_);
  EXPECT_EQ(Run(next_.Rows(1, 0, a, {0}).Want().Rows(0, 0, {20, 21}, {5}).Rows(2, 0, b, {3}).Want()),
            (std::vector<Sampled>{alone_a, alone_b}));
  EXPECT_TRUE(Run(next_.Rows(0, 2, {22})).empty());
  EXPECT_TRUE(Run(next_).empty());
}

TEST_F(TransformerRunnerTest, ChunkedPrefillGivesTheSameToken) {
  const std::vector<TokenId> ids = Tokens(30);
  const Sampled whole = Alone(ids);
  Run(next_.Open({.slot = 0}, sampling_).Rows(0, 0, {ids.begin(), ids.begin() + 19}, {7, 4}));
  EXPECT_EQ(Run(next_.Rows(0, 19, {ids.begin() + 19, ids.end()}).Want()), (std::vector<Sampled>{whole}));
}

TEST_F(TransformerRunnerTest, ScaledRopeIsAnotherModel) {
  EXPECT_NE(Alone(Tokens(8)), Alone(Tokens(8), {}, {.slot = 2, .scaled_rope = 1}));
}

// At a position in the middle of a block, whose copy only one of them writes.
TEST_F(TransformerRunnerTest, AForkGoesOnAsIfItWereAlone) {
  const std::vector<TokenId> ids = Tokens(21);
  std::vector<TokenId> left = ids, right = ids;
  Run(next_.Open({.slot = 0}, sampling_).Rows(0, 0, ids, {9, 3}));
  next_.Op(ForkSlot{.slot = 1, .from = 0}).Op(CopyLastBlock{.slot = 1, .block = 6});
  for (int32_t position = 21; position < 31; ++position) {
    left.push_back(position % 5);
    right.push_back(position % 7 + 10);
    const auto sampled =
        Run(next_.Rows(0, position, {left.back()}).Want().Rows(1, position, {right.back()}).Want());
    EXPECT_EQ(sampled, (std::vector<Sampled>{Alone(left), Alone(right)})) << position;
  }
}

TEST_F(TransformerRunnerTest, SeveralRowsOfASequenceGiveWhatEachGivesAsTheLast) {
  sampling_.params.frequency_penalty = 0.7f;
  sampling_.counts.AddPrompt(Tokens(20));
  sampling_.tokens = 20;
  const std::vector<TokenId> guesses = {4, 11, 4};
  Run(next_.Open({.slot = 0}, sampling_).Rows(0, 0, Tokens(20), {9, 3}));
  const auto sampled = Run(next_.Rows(0, 20, guesses)
                               .Want({.position = 1}, 2)
                               .Want({.position = 2}, 1)
                               .Want({.choice = 1, .position = 3})
                               .Want({.choice = 0, .position = 3}));
  for (uint32_t i = 1; i <= 3; ++i) {
    std::vector<TokenId> ids = Tokens(20);
    ids.insert(ids.end(), guesses.begin(), guesses.begin() + i);
    sampling_.counts.AddOutput(guesses[i - 1]);
    ++sampling_.tokens;
    EXPECT_EQ(sampled[i - 1], Alone(ids, {.choice = i == 3 ? 1u : 0u, .position = i})) << i;
    if (i < 3) continue;
    EXPECT_EQ(sampled[3], Alone(ids, {.position = i}));
  }
  // The second guess was wrong.
  const auto next =
      Run(next_.Op(RollBack{.slot = 0, .position = 21}).Rows(0, 21, {30}).Want({.position = 2}));
  std::vector<TokenId> ids = Tokens(20);
  ids.insert(ids.end(), {4, 30});
  for (const TokenId id : {11, 4}) sampling_.counts.RemoveOutput(id);
  sampling_.counts.AddOutput(30);
  sampling_.tokens = 22;
  EXPECT_EQ(next.front(), Alone(ids, {.position = 2}));
}

TEST_F(TransformerRunnerTest, ARowBeginsWithWhatTheStepBeforeSampled) {
  std::vector<TokenId> ids = Tokens(18);
  const auto first = Run(next_.Open({.slot = 0}, sampling_).Rows(0, 0, ids, {9, 3}).Want());
  const auto second = Run(next_.Rows(0, 18, {0}).FromSampled(0).Want());
  ids.push_back(first[0].first);
  EXPECT_EQ(second.front(), Alone(ids));
}

// Six steps, each of which begins with what the one before sampled, or beside a prompt, or forks; one samples
// nothing.
std::vector<BatchPlan> SixSteps(const SlotSampling& sampling, const std::vector<TokenId>& prompt) {
  PlanBuilder next;
  std::vector<BatchPlan> plans;
  next.Open({.slot = 0}, sampling).Open({.slot = 1}, sampling);
  plans.push_back(next.Rows(0, 0, prompt, {9, 3}).Want().Rows(1, 0, {5, 6}, {4}).Want().Take());
  next.Rows(1, 2, {0}).FromSampled(1).Want({.position = 1});
  plans.push_back(next.Rows(0, 18, {0}).FromSampled(0).Want({.position = 1}).Take());
  next.Open({.slot = 2}, sampling).Rows(0, 19, {0}).FromSampled(1).Want({.position = 2});
  plans.push_back(next.Rows(2, 0, {8, 9, 10, 11, 12}, {7}).Take());
  plans.push_back(next.Rows(2, 5, {1, 2, 3}).Take());
  plans.push_back(next.Rows(2, 8, {4}).Want().Take());
  next.Op(CloseSlot{1}).Op(ForkSlot{.slot = 1, .from = 2}).Op(CopyLastBlock{.slot = 1, .block = 6});
  next.Rows(2, 9, {0}).FromSampled(0).Want({.position = 1}).Rows(1, 9, {0}).FromSampled(0);
  plans.push_back(next.Want({.choice = 1, .position = 1}).Take());
  return plans;
}

TEST_F(TransformerRunnerTest, AStepAheadGivesWhatItGivesOneAfterTheOther) {
  sampling_.params.temperature = 0.9f;
  sampling_.seed = 5;
  const std::vector<BatchPlan> plans = SixSteps(sampling_, Tokens(18));
  const auto collected = [](TransformerRunner& runner) {
    const auto result = runner.Collect();
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<Sampled> sampled;
    for (const SampledToken& token : result->tokens) sampled.emplace_back(token.id, token.logprob);
    return sampled;
  };
  const auto ahead = Load("yarn:4:32", /*runs_ahead=*/true);
  EXPECT_TRUE(ahead->runs_ahead());
  EXPECT_FALSE(runner_->runs_ahead());
  ASSERT_TRUE(ahead->Launch(plans[0]).ok());
  for (size_t i = 0; i < plans.size(); ++i) {
    ASSERT_TRUE(i + 1 == plans.size() || ahead->Launch(plans[i + 1]).ok());
    ASSERT_TRUE(runner_->Launch(plans[i]).ok());
    const std::vector<Sampled> expected = collected(*runner_);
    EXPECT_EQ(expected.size(), plans[i].wanted.size());
    EXPECT_EQ(collected(*ahead), expected) << "step " << i;
  }
  EXPECT_TRUE(absl::IsInternal(ahead->Launch(next_.Rows(2, 10, {0}).FromSampled(2).Take()))) << "of two";
}

// A place among ranks whose devices wait for one another.
class AheadPlace final : public IdlePlace {
 public:
  using IdlePlace::IdlePlace;
  bool runs_ahead() const override { return true; }
  absl::Status Broadcast(kernels::Tensor) override {
    ++broadcasts;
    return absl::OkStatus();
  }
  int broadcasts = 0;
};

TEST_F(TransformerRunnerTest, OneOfSeveralRanksRunsAheadWhereAllTheirDevicesCan) {
  const auto backend = kernels::MakeReferenceBackend(/*runs_ahead=*/true);
  const auto host = kernels::MakeReferenceBackend(/*runs_ahead=*/false);
  const auto checkpoint = checkpoint_.Open("");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  IdlePlace waits(0, 2);
  AheadPlace ahead(0, 2);
  TransformerOptions others_do_not = Options();
  others_do_not.steps_ahead = false;
  const auto runs_ahead = [&](const TransformerOptions& options, kernels::Backend& on, IdlePlace& place) {
    const auto runner = TransformerRunner::Load(*checkpoint, options, on, place);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return (*runner)->runs_ahead();
  };
  EXPECT_FALSE(runs_ahead(Options(), *backend, waits));
  EXPECT_FALSE(runs_ahead(Options(), *host, ahead));
  EXPECT_FALSE(runs_ahead(others_do_not, *kernels::MakeReferenceBackend(true), ahead));
  EXPECT_TRUE(runs_ahead(Options(), *kernels::MakeReferenceBackend(true), ahead));
}

// Rank 0's ids are on every rank's device before a step begins with some, and are not sent for others.
TEST_F(TransformerRunnerTest, SampledIdsAreBroadcastWhereAStepBeginsWithThem) {
  const auto backend = kernels::MakeReferenceBackend(/*runs_ahead=*/true);
  const auto checkpoint = checkpoint_.Open("");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  AheadPlace first(0, 2);
  const auto runner = TransformerRunner::Load(*checkpoint, Options(), *backend, first);
  ASSERT_TRUE(runner.ok()) << runner.status();
  std::vector<int> broadcasts;
  for (const BatchPlan& plan : SixSteps(sampling_, Tokens(18))) {
    ASSERT_TRUE((*runner)->Launch(plan).ok());
    ASSERT_TRUE((*runner)->Collect().ok());
    const bool begins = std::ranges::any_of(plan.sequences, [](const auto& s) { return s.sampled_row >= 0; });
    broadcasts.push_back(std::exchange(first.broadcasts, 0));
    EXPECT_EQ(broadcasts.back(), begins ? 1 : 0);
  }
  EXPECT_TRUE(std::ranges::count(broadcasts, 0) > 0 && std::ranges::count(broadcasts, 1) > 0);
}

// A device that says only in the end that it failed.
class FailingLate final : public IdleBackend {
 public:
  absl::Status Finish() override { return absl::InternalError("the device fell off the bus"); }
};

TEST_F(TransformerRunnerTest, ARankThatSamplesNothingHearsOfItsDevicesFailure) {
  FailingLate device;
  IdlePlace follower(1, 2);
  const auto checkpoint = checkpoint_.Open("");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto runner = TransformerRunner::Load(*checkpoint, Options(), device, follower);
  ASSERT_TRUE(runner.ok()) << runner.status();
  BatchPlan plan = next_.Open({.slot = 0}).Rows(0, 0, {1, 2, 3}, {0}).Want().Take();
  plan.openings.clear();  // as at a follower
  plan.samples.clear();
  ASSERT_TRUE((*runner)->Launch(plan).ok());
  EXPECT_TRUE(absl::IsInternal((*runner)->Collect().status()));
}

// slot_table_test says what all is refused; here, that it is for what this model has.
TEST_F(TransformerRunnerTest, RefusesPlansThatDoNotFitTheModel) {
  const auto refused = [&](OpenSlot op, const std::vector<TokenId>& ids, const std::vector<int32_t>& blocks) {
    const bool wrong = !runner_->Launch(next_.Open(op).Rows(op.slot, 0, ids, blocks).Take()).ok();
    if (!wrong) {
      EXPECT_TRUE(runner_->Collect().ok());
      Run(next_.Op(CloseSlot{op.slot}));
    }
    return wrong;
  };
  const std::vector<TokenId> as_many(40, 1), more(41, 1);
  EXPECT_FALSE(refused({.slot = 2}, {1, 49}, {15}));
  EXPECT_TRUE(refused({.slot = 3}, {1, 49}, {15}));
  EXPECT_TRUE(refused({.slot = 2}, {1, 50}, {15}));
  EXPECT_TRUE(refused({.slot = 2}, {1, 49}, {16}));
  EXPECT_TRUE(refused({.slot = 2, .adapter = 1}, {1, 49}, {15}));
  EXPECT_TRUE(refused({.slot = 2}, as_many, {0, 1, 2})) << "plain RoPE reaches 32";
  EXPECT_FALSE(refused({.slot = 2, .scaled_rope = 1}, as_many, {0, 1, 2}));
  EXPECT_TRUE(refused({.slot = 2, .scaled_rope = 1}, more, {0, 1, 2}));
  Run(next_.Open({.slot = 0}).Rows(0, 0, {1}, {0}));
  EXPECT_FALSE(runner_->Launch(next_.Rows(0, 1, {1}).Want().Want().Want().Want().Want().Take()).ok());
  runner_ = Load("");
  EXPECT_TRUE(refused({.slot = 2, .scaled_rope = 1}, {1}, {15}));
}

// As the choices of a prompt do that is shorter than they are many.
TEST_F(TransformerRunnerTest, ARowMayBeWantedMoreOftenThanAStepHasTokens) {
  const std::vector<TokenId> ids = Tokens(8);
  const Sampled alone = Alone(ids);
  const auto backend = kernels::MakeBackend({});
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto checkpoint = checkpoint_.Open("yarn:4:32");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const TransformerOptions options{
      .kv_blocks = 2, .max_batch_tokens = 8, .max_sequences = 1, .max_wanted_rows = 64, .tokenizer_size = 48};
  auto runner = TransformerRunner::Load(*checkpoint, options, **backend, alone_);
  ASSERT_TRUE(runner.ok()) << runner.status();
  runner_ = *std::move(runner);
  next_.Open({.slot = 0}, sampling_).Rows(0, 0, ids, {0});
  for (int i = 0; i < 64; ++i) next_.Want();
  const std::vector<Sampled> sampled = Run(next_);
  ASSERT_EQ(sampled.size(), 64u);
  for (const auto& [id, logprob] : sampled) {
    EXPECT_EQ(id, alone.first);
    EXPECT_EQ(logprob, sampled[0].second);
    EXPECT_NEAR(logprob, alone.second, 0.01);
  }
  runner_.reset();  // before its backend
}

// Blocks that come twice in a table make it as long as the positions need; the rotary tables end with the KV
// cache.
TEST_F(TransformerRunnerTest, RefusesPositionsBeyondTheKvCache) {
  kernels::BackendOptions options;
  const auto backend = kernels::MakeBackend(options);  // which looks no position up beyond its tables
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto checkpoint = checkpoint_.Open("yarn:4:32");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto runner = TransformerRunner::Load(
      *checkpoint, {.kv_blocks = 2, .max_batch_tokens = 40, .max_sequences = 1, .tokenizer_size = 48},
      **backend, alone_);
  ASSERT_TRUE(runner.ok()) << runner.status();
  next_.Open({.slot = 0, .scaled_rope = 1}).Rows(0, 0, std::vector<TokenId>(40, 1), {0, 1, 0});
  EXPECT_TRUE(absl::IsInternal((*runner)->Launch(next_.Take())));
  next_.Open({.slot = 0, .scaled_rope = 1}, {}, {0, 1}).Rows(0, 32, {1}, {0});
  EXPECT_TRUE(absl::IsInternal((*runner)->Launch(next_.Take())));
  const BatchPlan plan =
      next_.Open({.slot = 0}).Rows(0, 0, std::vector<TokenId>(32, 1), {0, 1}).Want().Take();
  EXPECT_TRUE((*runner)->Launch(plan).ok());
  EXPECT_TRUE((*runner)->Collect().ok());
}

// The folder is read once, when the checkpoint is opened: what is checked is what is loaded.
TEST_F(TransformerRunnerTest, LoadsFromTheOpenCheckpointAlone) {
  absl::StatusOr<Checkpoint> open;
  {
    const TestCheckpoint folder("BF16");
    open = folder.Open("yarn:4:32");
  }  // the folder is gone
  ASSERT_TRUE(open.ok()) << open.status();
  const Sampled before = Alone({1, 2, 3});
  backends_.push_back(kernels::MakeReferenceBackend());
  auto loaded = TransformerRunner::Load(*open, Options(), *backends_.back(), alone_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->numerics_id(), runner_->numerics_id());
  *open = {};  // and loading leaves nothing in it that a step needs
  runner_ = *std::move(loaded);
  EXPECT_EQ(Alone({1, 2, 3}), before);
}

TEST_F(TransformerRunnerTest, NumericsIdNamesWhatTokensDependOn) {
  const std::string id = runner_->numerics_id();
  EXPECT_NE(id.find("/tp1/"), std::string::npos);
  EXPECT_NE(id.find(backends_[0]->family()), std::string::npos);
  EXPECT_EQ(Load("yarn:4:32")->numerics_id(), id);
  EXPECT_NE(Load("")->numerics_id(), id);
  EXPECT_NE(Load("yarn:2:32")->numerics_id(), id);
}

}  // namespace
}  // namespace quire::worker
