// Forks, copied blocks, rows taken back and rows that are wanted several times, over a whole model on the CPU
// backend: each sequence samples what it samples alone, bit by bit, on 1 and on 2 ranks.
#include <gtest/gtest.h>

#include <thread>

#include "base/core/status.h"
#include "kernels/backend_factory.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/model/test_checkpoint.h"
#include "worker/model/transformer_runner.h"
#include "worker/parallel/test_plans.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::golden {
namespace {

using worker::BatchPlan;
using worker::PlanBuilder;
using worker::SampledToken;
using worker::TestCheckpoint;

// The raw log-probability tells logits apart that sample the same id.
using Sampled = std::vector<std::pair<TokenId, float>>;

constexpr int64_t kPrompt = 37, kSteps = 20;  // its last block is full in part, and is filled

// The wanted rows' tokens of every plan, as rank 0 has them.
absl::StatusOr<std::vector<Sampled>> RunRank(const TestCheckpoint& model, const std::vector<BatchPlan>& plans,
                                             kernels::Communicator& communicator) {
  QUIRE_ASSIGN_OR_RETURN(const worker::Checkpoint checkpoint, model.Open());
  QUIRE_ASSIGN_OR_RETURN(const auto backend, kernels::MakeBackend({.device = "cpu", .threads = 2}));
  QUIRE_ASSIGN_OR_RETURN(const auto runner,
                         worker::TransformerRunner::Load(checkpoint, {.kv_blocks = 40, .max_sequences = 4},
                                                         *backend, communicator));
  std::vector<Sampled> sampled;
  for (const BatchPlan& plan : plans) {
    QUIRE_ASSIGN_OR_RETURN(const worker::DecodedOrder sent, worker::DecodeOrder(worker::WireOf(plan)));
    QUIRE_RETURN_IF_ERROR(runner->Launch(communicator.rank() == 0 ? plan : sent.plan));
    QUIRE_ASSIGN_OR_RETURN(const worker::StepResult result, runner->Collect());
    sampled.emplace_back();
    for (const SampledToken& token : result.tokens) sampled.back().emplace_back(token.id, token.logprob);
  }
  return sampled;
}

std::vector<Sampled> RunPlans(const TestCheckpoint& model, int ranks, const std::vector<BatchPlan>& plans) {
  worker::ThreadGroup group(ranks);
  std::vector<absl::StatusOr<std::vector<Sampled>>> sampled(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      sampled[rank] = RunRank(model, plans, *group.MakeCommunicator(rank));
      if (!sampled[rank].ok()) group.Fail();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_rank : sampled) EXPECT_TRUE(of_rank.ok()) << of_rank.status();
  return sampled[0].ok() ? *sampled[0] : std::vector<Sampled>(plans.size());
}

std::vector<TokenId> Prompt() {
  std::vector<TokenId> ids(kPrompt);
  for (int64_t i = 0; i < kPrompt; ++i) ids[i] = static_cast<TokenId>(i * 7 % 50);
  return ids;
}

// What choice `choice` runs at its position `step`.
TokenId Next(int32_t choice, int32_t step) { return (step * 11 + choice * 17) % 50; }

worker::SlotSampling Sampling() {
  worker::SlotSampling sampling;
  sampling.params.frequency_penalty = 0.4f;
  sampling.params.logprobs = true;
  sampling.counts.AddPrompt(Prompt());
  sampling.tokens = kPrompt;
  return sampling;
}

// A step of those in slots 0 to `slots` - 1, each with a new block where it needs one.
void AddStep(PlanBuilder& builder, const std::vector<int32_t>& choices, int32_t step) {
  for (int32_t slot = 0; slot < static_cast<int32_t>(choices.size()); ++slot) {
    const auto position = static_cast<int32_t>(kPrompt) + step;
    const std::vector<int32_t> block = {30 - slot};
    builder.Rows(slot, position, {Next(choices[slot], step)},
                 position % kBlockTokens == 0 ? block : std::vector<int32_t>());
    builder.Want(
        {.choice = static_cast<uint32_t>(choices[slot]), .position = static_cast<uint32_t>(step) + 1});
  }
}

// One choice with nobody beside it: of each of its steps what it samples, the prompt's row first.
std::vector<Sampled> Alone(const TestCheckpoint& model, int32_t choice) {
  PlanBuilder builder;
  std::vector<BatchPlan> plans;
  plans.push_back(builder.Open({.slot = 0}, Sampling())
                      .Rows(0, 0, Prompt(), {2, 9, 4})
                      .Want({.choice = static_cast<uint32_t>(choice)})
                      .Take());
  for (int32_t step = 0; step < kSteps; ++step) {
    AddStep(builder, {choice}, step);
    plans.push_back(builder.Take());
  }
  return RunPlans(model, 1, plans);
}

class ForkTest : public testing::TestWithParam<int> {
 protected:
  const TestCheckpoint model_{"BF16",
                              {.hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 1024, .rounds = true}};
};

TEST_P(ForkTest, ChoicesOfOnePromptSampleWhatTheySampleAlone) {
  PlanBuilder builder;
  std::vector<BatchPlan> plans;
  builder.Open({.slot = 0}, Sampling()).Rows(0, 0, Prompt(), {5, 1, 7});
  plans.push_back(builder.Want({.choice = 0}).Want({.choice = 1}).Want({.choice = 2}).Take());
  for (int32_t slot : {1, 2}) {
    builder.Op(worker::ForkSlot{.slot = slot, .from = 0});
    builder.Op(worker::CopyLastBlock{.slot = slot, .block = 10 + slot});
  }
  for (int32_t step = 0; step < kSteps; ++step) {
    AddStep(builder, {0, 1, 2}, step);
    plans.push_back(builder.Take());
  }
  const std::vector<Sampled> together = RunPlans(model_, GetParam(), plans);
  for (int32_t choice = 0; choice < 3; ++choice) {
    const std::vector<Sampled> alone = Alone(model_, choice);
    for (size_t i = 0; i < plans.size(); ++i) {
      EXPECT_EQ(together[i].at(choice), alone[i].at(0)) << "choice " << choice << ", step " << i;
    }
  }
}

// Of each step's three rows the first is right, the second but for the first step's, and the third is not.
TEST_P(ForkTest, GuessesThatAreTakenBackLeaveNothing) {
  const auto choice_2 = [](int32_t step) { return Next(2, step); };
  PlanBuilder builder;
  std::vector<BatchPlan> plans;
  std::vector<int32_t> first_steps;
  plans.push_back(builder.Open({.slot = 0}, Sampling()).Rows(0, 0, Prompt(), {5, 1, 7}).Take());
  int64_t blocks = 3;
  for (int32_t step = 0; step + 1 < kSteps; step += step % 2 == 0 ? 1 : 2) {
    const int32_t position = static_cast<int32_t>(kPrompt) + step;
    if (step > 0) builder.Op(worker::RollBack{.slot = 0, .position = position});
    blocks = BlocksFor(int64_t{position});
    std::vector<int32_t> added;
    for (; blocks < BlocksFor(int64_t{position} + 3); ++blocks)
      added.push_back(20 + static_cast<int32_t>(blocks));
    builder.Rows(0, position, {choice_2(step), step % 2 == 0 ? 49 : choice_2(step + 1), 48}, added);
    for (int32_t row = 0; row < 3; ++row) {
      builder.Want({.choice = 2, .position = static_cast<uint32_t>(step + row + 1)}, 2 - row);
    }
    plans.push_back(builder.Take());
    first_steps.push_back(step);
  }
  const std::vector<Sampled> guessed = RunPlans(model_, GetParam(), plans), alone = Alone(model_, 2);
  for (size_t i = 0; i < first_steps.size(); ++i) {
    const int32_t step = first_steps[i];
    EXPECT_EQ(guessed[i + 1].at(0), alone[step + 1].at(0)) << step;
    if (step % 2 == 0) continue;
    EXPECT_EQ(guessed[i + 1].at(1), alone[step + 2].at(0)) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, ForkTest, testing::Values(1, 2));

}  // namespace
}  // namespace quire::golden
