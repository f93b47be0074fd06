#include "worker/model/transformer_runner.h"

#include <gtest/gtest.h>

#include "kernels/backend_factory.h"
#include "kernels/reference/reference_backend.h"
#include "worker/model/idle_backend.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

class TransformerRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    runner_ = Load("yarn:4:32");
    spec_.params.logprobs = true;
  }

  std::unique_ptr<TransformerRunner> Load(const std::string& rope_scaling) {
    backends_.push_back(kernels::MakeReferenceBackend());
    const auto checkpoint = checkpoint_.Open(rope_scaling);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    auto runner = TransformerRunner::Load(
        *checkpoint, {.kv_blocks = 16, .max_batch_tokens = 40, .max_sequences = 3, .tokenizer_size = 48},
        *backends_.back(), alone_);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return *std::move(runner);
  }

  SequencePlan Prompt(std::vector<TokenId> ids, std::vector<int32_t> blocks) const {
    SequencePlan plan;
    plan.ids = std::move(ids);
    plan.blocks = std::move(blocks);
    plan.wants_logits = true;
    plan.sample = &spec_;
    return plan;
  }

  // The raw log-probability tells logits apart that sample the same id.
  using Sampled = std::pair<TokenId, float>;
  std::vector<Sampled> Run(std::vector<SequencePlan> sequences) {
    const BatchPlan plan{1, std::move(sequences)};
    EXPECT_TRUE(runner_->Launch(plan).ok());
    const auto result = runner_->Collect();
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<Sampled> sampled;
    for (const SampledToken& token : result->tokens) {
      EXPECT_FALSE(token.failed);
      sampled.emplace_back(token.id, token.logprob);
    }
    return sampled;
  }

  const TestCheckpoint checkpoint_{"BF16"};
  IdlePlace alone_{0, 1};
  std::vector<std::unique_ptr<kernels::Backend>> backends_;
  std::unique_ptr<TransformerRunner> runner_;
  SampleSpec spec_;
};

TEST_F(TransformerRunnerTest, ABatchGivesWhatEachSequenceGivesAlone) {
  const SequencePlan a = Prompt({1, 2, 3, 4, 5}, {0}), b = Prompt({9, 8, 7}, {3});
  const Sampled alone_a = Run({a}).front(), alone_b = Run({b}).front();
  SequencePlan silent = Prompt({20, 21}, {5});
  silent.wants_logits = false;
  EXPECT_EQ(Run({a, silent, b}), (std::vector<Sampled>{alone_a, alone_b}));
  EXPECT_TRUE(Run({silent}).empty());
  EXPECT_TRUE(Run({}).empty());
}

TEST_F(TransformerRunnerTest, ChunkedPrefillGivesTheSameToken) {
  std::vector<TokenId> ids(30);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * 7 % 48);
  const Sampled whole = Run({Prompt(ids, {2, 1})}).front();
  SequencePlan first = Prompt({ids.begin(), ids.begin() + 19}, {7, 4});
  first.wants_logits = false;
  SequencePlan second = Prompt({ids.begin() + 19, ids.end()}, {7, 4});
  second.position = 19;
  Run({first});
  EXPECT_EQ(Run({second}), (std::vector<Sampled>{whole}));
}

TEST_F(TransformerRunnerTest, ScaledRopeIsAnotherModel) {
  SequencePlan plain = Prompt({1, 2, 3, 4, 5, 6, 7, 8}, {0});
  plain.position = 0;
  SequencePlan scaled = plain;
  scaled.scaled_rope = true;
  EXPECT_NE(Run({plain}), Run({scaled}));
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
  const auto runner = TransformerRunner::Load(
      *checkpoint, {.kv_blocks = 16, .max_batch_tokens = 40, .max_sequences = 3, .tokenizer_size = 48},
      device, follower);
  ASSERT_TRUE(runner.ok()) << runner.status();
  SequencePlan plan = Prompt({1, 2, 3}, {0});
  plan.sample = nullptr;  // as at a follower
  ASSERT_TRUE((*runner)->Launch({1, {plan}}).ok());
  EXPECT_TRUE(absl::IsInternal((*runner)->Collect().status()));
}

TEST_F(TransformerRunnerTest, RefusesPlansThatDoNotFit) {
  const auto refused = [&](auto edit) {
    BatchPlan plan{1, {Prompt({1, 2, 3}, {0})}};
    edit(plan);
    return !runner_->Launch(plan).ok();
  };
  const auto first = [](BatchPlan& plan) -> SequencePlan& { return plan.sequences[0]; };
  EXPECT_FALSE(refused([](BatchPlan&) {}));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).ids[1] = 50; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).ids[1] = -1; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).ids.clear(); }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).blocks[0] = 16; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).blocks[0] = -1; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).blocks.clear(); }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).position = -1; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) {
    first(plan).position = 30;  // plain RoPE reaches 32
    first(plan).blocks.assign(3, 0);
  }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).sample = nullptr; }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) { plan.sequences.assign(4, first(plan)); }));
  EXPECT_TRUE(refused([&](BatchPlan& plan) {
    first(plan).ids.assign(41, 1);
    first(plan).blocks.assign(3, 0);
    first(plan).scaled_rope = true;
  }));
  EXPECT_FALSE(refused([&](BatchPlan& plan) {
    first(plan).ids.assign(40, 1);
    first(plan).blocks.assign(3, 0);
    first(plan).scaled_rope = true;
  })) << "as many as the model was loaded for";
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).blocks.push_back(1); })) << "a longer table";
  runner_ = Load("");
  EXPECT_TRUE(refused([&](BatchPlan& plan) { first(plan).scaled_rope = true; }));
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
  SequencePlan plan = Prompt(std::vector<TokenId>(40, 1), {0, 1, 0});
  plan.scaled_rope = true;
  EXPECT_TRUE(absl::IsInternal((*runner)->Launch({1, {plan}})));
  plan = Prompt({1}, {0, 1, 0});
  plan.position = 32;
  plan.scaled_rope = true;
  EXPECT_TRUE(absl::IsInternal((*runner)->Launch({2, {plan}})));
  plan = Prompt(std::vector<TokenId>(32, 1), {0, 1});
  EXPECT_TRUE((*runner)->Launch({3, {plan}}).ok());
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
  const Sampled before = Run({Prompt({1, 2, 3}, {0})}).front();
  backends_.push_back(kernels::MakeReferenceBackend());
  auto loaded = TransformerRunner::Load(
      *open, {.kv_blocks = 16, .max_batch_tokens = 40, .max_sequences = 3, .tokenizer_size = 48},
      *backends_.back(), alone_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->numerics_id(), runner_->numerics_id());
  *open = {};  // and loading leaves nothing in it that a step needs
  runner_ = *std::move(loaded);
  EXPECT_EQ(Run({Prompt({1, 2, 3}, {0})}).front(), before);
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
