// What followers read is what rank 0 wrote, in few bytes; and bytes that are no plan are refused.
#include "worker/parallel/plan_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "worker/engine/testing/plan_builder.h"
#include "worker/parallel/test_plans.h"

namespace quire::worker {
namespace {

TEST(PlanCodec, APlanComesBackWithoutWhatRank0SamplesBy) {
  BatchPlan plan = PlanBuilder()
                       .Op(CloseSlot{4})
                       .Open({.slot = 4, .scaled_rope = 1, .adapter = 6}, {}, {11, 12})
                       .Op(ForkSlot{.slot = 5, .from = 4})
                       .Op(RollBack{.slot = 7, .position = 99})
                       .Op(CopyLastBlock{.slot = 5, .block = 13})
                       .Rows(4, 32, {21, 22}, {14})
                       .Want({.choice = 2}, 1)
                       .Want()
                       .Rows(7, 99, {23})
                       .Take();
  plan.step = (uint64_t{5} << 40) + 6;
  plan.wanted[0].scored = 22;
  plan.wanted[1].need = {.runs = 20, .temperature = 0.7f};
  const auto back = DecodeOrder(WireOf(plan));
  ASSERT_TRUE(back.ok() && back->order == FollowerOrder::kPlan) << back.status();
  EXPECT_EQ(back->plan.step, plan.step);
  ASSERT_EQ(back->plan.ops.size(), 5u);
  const auto& open = std::get<OpenSlot>(back->plan.ops[1]);
  EXPECT_EQ(open.scaled_rope, 1);
  EXPECT_EQ(open.adapter, 6);
  EXPECT_EQ(std::get<ForkSlot>(back->plan.ops[2]).from, 4);
  EXPECT_EQ(std::get<RollBack>(back->plan.ops[3]).position, 99);
  EXPECT_EQ(std::get<CopyLastBlock>(back->plan.ops[4]).block, 13);
  EXPECT_EQ(back->plan.sequences[1].slot, 7);
  EXPECT_EQ(back->plan.ids, plan.ids);
  EXPECT_EQ(back->plan.blocks, plan.blocks);
  ASSERT_EQ(back->plan.wanted.size(), 2u);
  EXPECT_EQ(back->plan.wanted[0].row, 0);
  EXPECT_EQ(back->plan.wanted[1].need, plan.wanted[1].need);
  EXPECT_EQ(back->plan.wanted[0].scored, 22);
  EXPECT_EQ(back->plan.wanted[1].scored, -1);
  EXPECT_TRUE(back->plan.openings.empty() && back->plan.samples.empty());
}

TEST(PlanCodec, SampledIdsGoAsIds) {
  const BatchPlan plan = PlanBuilder().Rows(0, 3, {0}).FromSampled(5).Take();
  std::vector<uint8_t> bytes(200);
  EncodePlan(plan, std::vector<TokenId>{77}, bytes);
  const auto back = DecodeOrder(bytes);
  ASSERT_TRUE(back.ok() && back->order == FollowerOrder::kPlan) << back.status();
  EXPECT_EQ(back->plan.ids, (std::vector<TokenId>{77}));
  EXPECT_EQ(back->plan.sequences[0].sampled_row, -1);
}

TEST(PlanCodec, ADecodeStepIsSmallHoweverLongTheContext) {
  PlanBuilder builder;
  for (int32_t slot = 0; slot < 32; ++slot) builder.Rows(slot, 130'000, {slot}).Want();
  EXPECT_EQ(WireOf(builder.Take()).size(), 32u + 32 * 44);
}

TEST(PlanCodec, TheLargestPlanTakesWhatIsSaid) {
  for (const PlanLimits& limits : {PlanLimits{1, 1, 1, 1}, {3, 3, 5, 1}, {64, 512, 64, 8192}}) {
    EXPECT_EQ(static_cast<int64_t>(WireOf(LargestPlan(limits)).size()), PlanBytesFor(limits));
  }
}

TEST(PlanCodec, LimitsFollowTheSchedulers) {
  const PlanLimits limits = PlanLimitsFor({.max_batch_tokens = 300, .max_sequences = 20}, 1000);
  EXPECT_EQ(limits.max_sequences, 20);
  EXPECT_EQ(limits.max_batch_tokens, 300);
  EXPECT_EQ(limits.max_wanted_rows, 20 + SchedulerLimits::kScoredRows);
  EXPECT_EQ(limits.max_blocks, 63);
}

TEST(PlanCodec, ASmallerBufferIsNotOverrun) {
  const BatchPlan plan = LargestPlan({2, 3, 2, 4});
  const size_t size = WireOf(plan).size();
  for (size_t room = 0; room < size; ++room) {
    std::vector<uint8_t> bytes(size, 0xaa);
    EXPECT_EQ(EncodePlan(plan, plan.ids, std::span(bytes).first(room)), size);
    EXPECT_TRUE(std::all_of(bytes.begin() + room, bytes.end(), [](uint8_t byte) { return byte == 0xaa; }));
  }
}

TEST(PlanCodec, BytesThatEndTooSoonAreRefused) {
  const std::vector<uint8_t> bytes = WireOf(LargestPlan({2, 3, 2, 4}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(absl::IsInternal(DecodeOrder(std::span(bytes).first(size)).status())) << size;
  }
}

TEST(PlanCodec, WordsThatSayNothingAreRefused) {
  const std::vector<uint8_t> bytes = WireOf(PlanBuilder().Op(CloseSlot{4}).Rows(0, 3, {1}).Take());
  const auto refused = [&](size_t word, int32_t value) {
    std::vector<uint8_t> changed = bytes;
    std::memcpy(changed.data() + 4 * word, &value, sizeof(value));
    return absl::IsInternal(DecodeOrder(changed).status());
  };
  for (const int32_t value : {-1, 3, INT32_MAX}) EXPECT_TRUE(refused(0, value)) << "no kind of message";
  for (size_t word = 3; word < 8; ++word) {
    for (const int32_t value : {-1, 1000, INT32_MAX, INT32_MIN}) EXPECT_TRUE(refused(word, value)) << word;
  }
  for (const int32_t value : {-1, 5}) EXPECT_TRUE(refused(8, value)) << "no op";
}

TEST(PlanCodec, SampledRowsGoAsTheyAreWhereNoIdsAreKnown) {
  const BatchPlan plan = PlanBuilder().Rows(0, 3, {0}).FromSampled(5).Rows(1, 3, {8, 9}).Take();
  std::vector<uint8_t> bytes(300);
  EncodePlan(plan, std::nullopt, bytes);
  const auto back = DecodeOrder(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->plan.ids, (std::vector<TokenId>{0, 8, 9}));
  EXPECT_EQ(back->plan.sequences[0].sampled_row, 5);
  EXPECT_EQ(back->plan.sequences[1].sampled_row, -1);
}

TEST(PlanCodec, OtherOrdersAreNoPlans) {
  for (const FollowerOrder order : {FollowerOrder::kStop, FollowerOrder::kCollect}) {
    std::vector<uint8_t> bytes(4, 0xff);
    EXPECT_EQ(EncodeOrder(order, bytes), 4u);
    const auto back = DecodeOrder(bytes);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->order, order);
  }
}

}  // namespace
}  // namespace quire::worker
