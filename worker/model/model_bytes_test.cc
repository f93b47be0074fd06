#include "worker/model/model_bytes.h"

#include <gtest/gtest.h>

#include "worker/engine/slot_table.h"
#include "worker/model/decoder.h"
#include "worker/model/idle_backend.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

// Counts what is allocated, and does nothing else.
class CountingBackend final : public IdleBackend {
 public:
  int64_t allocated() const { return allocated_; }
  absl::StatusOr<Tensor> Allocate(kernels::DType dtype, int64_t rows, int64_t cols) override {
    allocated_ += kernels::BytesOf(dtype) * rows * cols;
    return IdleBackend::Allocate(dtype, rows, cols);
  }

 private:
  int64_t allocated_ = 0;
};

// Uneven in every direction that is split.
ModelConfig Uneven() {
  ModelConfig config;
  config.vocab = 50;
  config.hidden = 24;
  config.layers = 2;
  config.ffn = 42;
  config.query_heads = 6;
  config.kv_heads = 3;
  config.head_dim = 8;
  config.plain_context = config.max_context = 128;
  return config;
}

TEST(ModelBytesTest, ScratchIsWhatTheRanksAllocate) {
  for (const int ranks : {1, 2, 3}) {
    const auto bytes = CountModelBytes(Uneven(), ranks);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    using Limits = kernels::StepLimits;
    for (const Limits& limits :
         {Limits{.tokens = 1}, {.tokens = 1, .wanted_rows = 1}, {.tokens = 7, .wanted_rows = 3}}) {
      int64_t allocated = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        CountingBackend backend;
        IdlePlace place(rank, ranks);
        ModelWeights weights;
        weights.layers.emplace_back();
        const auto decoder = Decoder::Create(Uneven(), *MakeShard(Uneven(), rank, ranks), std::move(weights),
                                             limits, backend, place);
        ASSERT_TRUE(decoder.ok()) << decoder.status();
        allocated += backend.allocated();
      }
      const int64_t numbers = limits.wanted_rows * ranks * 8;
      EXPECT_EQ(bytes->token * limits.tokens + bytes->wanted_row * limits.wanted_rows, allocated + numbers)
          << ranks << " ranks, " << limits.tokens << " tokens, " << limits.wanted_rows << " rows";
    }
  }
}

TEST(ModelBytesTest, InputsAreThoseOfEveryRankAndCountsRank0s) {
  const auto one = CountModelBytes(Uneven(), 1), three = CountModelBytes(Uneven(), 3);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->input_token, 4);
  EXPECT_EQ(three->input_token, 12);
  const int64_t inputs = sizeof(kernels::SequenceRows) + 16 + 128 / 16 * 4 + SlotTable::BytesFor(1, 128);
  EXPECT_EQ(one->sequence, inputs);
  EXPECT_EQ(three->sequence, 3 * inputs);
  EXPECT_EQ(one->counts, kernels::TokenCounts::BytesFor(128, 50));
  EXPECT_EQ(three->counts, one->counts);
  EXPECT_EQ(CountModelBytes(Uneven(), 3, 2)->counts, 0) << "it samples nothing";
}

TEST(ModelBytesTest, LoadingTakesWhatItsRanksConvert) {
  const TestCheckpoint folder("F32");
  const Checkpoint checkpoint = *folder.Open();
  const auto loading = [&](int ranks, std::optional<int> only = std::nullopt) {
    return CountLoadBytes(*checkpoint.files, checkpoint.config, ranks, only).value();
  };
  EXPECT_EQ(loading(1), 96 * 24 * 2);
  EXPECT_EQ(loading(3), loading(3, 0) + loading(3, 1) + loading(3, 2));
  EXPECT_LT(loading(3, 0), loading(1));
  EXPECT_FALSE(CountLoadBytes(*checkpoint.files, checkpoint.config, 4).ok());
}

TEST(ModelBytesTest, EveryRankHasNormsAndRotaryTablesWhole) {
  const ModelConfig config = Uneven();
  const auto one = CountModelBytes(config, 1), three = CountModelBytes(config, 3);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(three->kv_block, one->kv_block);
  const int64_t norms = (2 * config.layers + 1) * config.hidden * 4, table = 128 * config.head_dim * 4;
  EXPECT_EQ(three->weights, one->weights + 2 * (norms + table));
  EXPECT_FALSE(CountModelBytes(config, 4).ok());
}

}  // namespace
}  // namespace quire::worker
