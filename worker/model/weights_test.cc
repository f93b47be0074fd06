#include "worker/model/weights.h"

#include <gtest/gtest.h>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_step.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

struct Loaded {
  std::unique_ptr<kernels::Backend> backend = kernels::MakeReferenceBackend();
  absl::StatusOr<ModelWeights> weights;
  std::vector<int64_t> progress;
  int64_t total = 0;
};

Loaded Load(const TestCheckpoint& checkpoint, int rank, int ranks) {
  Loaded loaded;
  const auto open = checkpoint.Open();
  if (!open.ok()) {
    loaded.weights = open.status();
    return loaded;
  }
  const auto shard = MakeShard(open->config, rank, ranks);
  loaded.weights = LoadWeights(*open->files, open->config, PlanWeights(open->config, *shard),
                               /*max_positions=*/64, *loaded.backend, [&](int64_t bytes, int64_t total) {
                                 loaded.progress.push_back(bytes);
                                 loaded.total = total;
                               });
  return loaded;
}

// The embedding's first rows and the gate/up matrix's output, which show whether slices and types were read
// rightly.
std::vector<float> Probe(Loaded& loaded) {
  kernels::Backend& backend = *loaded.backend;
  const kernels::Tensor x = *backend.Allocate(kernels::DType::kF32, 3, 24);
  const kernels::Tensor normed = *backend.Allocate(kernels::DType::kBf16, 3, 24);
  const kernels::Tensor qkv = *backend.Allocate(kernels::DType::kF32, 3, 96);
  const LayerWeights& layer = loaded.weights->layers[1];
  kernels::BeginTestStep(backend,
                         {.ids = std::vector<int32_t>{0, 7, 49}, .sequences = {}, .wanted_rows = {}});
  backend.Embed(loaded.weights->embedding, 0, x);
  backend.RmsNorm(x, layer.input_norm, 1e-6f, normed);
  backend.Matmul(normed, layer.qkv, layer.qkv_bias, qkv);
  std::vector<float> values;
  for (int row = 0; row < 3; ++row) values.insert(values.end(), qkv.f32(row), qkv.f32(row) + 96);
  return values;
}

TEST(WeightsTest, StoredTypesGiveTheSameWeights) {
  std::vector<std::vector<float>> results;
  for (const char* dtype : {"BF16", "F16", "F32"}) {
    Loaded loaded = Load(TestCheckpoint(dtype), 0, 1);
    ASSERT_TRUE(loaded.weights.ok()) << loaded.weights.status();
    results.push_back(Probe(loaded));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(WeightsTest, ProgressEndsAtTheShardsBytes) {
  const TestCheckpoint checkpoint("BF16");
  const auto open = checkpoint.Open();
  ASSERT_TRUE(open.ok()) << open.status();
  const ModelConfig& config = open->config;
  for (int rank = 0; rank < 2; ++rank) {
    const Loaded loaded = Load(checkpoint, rank, 2);
    ASSERT_TRUE(loaded.weights.ok()) << loaded.weights.status();
    EXPECT_TRUE(std::ranges::is_sorted(loaded.progress));
    EXPECT_EQ(loaded.progress.back(), loaded.total);
    EXPECT_EQ(loaded.total, PlanWeights(config, *MakeShard(config, rank, 2)).bytes());
    EXPECT_EQ(loaded.backend->weight_stats().bytes, loaded.total);
  }
}

TEST(WeightsTest, NothingIsLoadedWhereATensorIsWrong) {
  TestCheckpoint checkpoint("BF16");
  checkpoint.EditHeader([](auto& header) { header["lm_head.weight"]["dtype"] = "I16"; });
  const Loaded loaded = Load(checkpoint, 0, 1);
  EXPECT_FALSE(loaded.weights.ok());
  EXPECT_EQ(loaded.backend->weight_stats().bytes, 0);
  EXPECT_TRUE(loaded.progress.empty());
}

TEST(WeightsTest, RotaryTablesEndWhereTheCacheDoes) {
  ModelConfig config;
  config.head_dim = 128;
  config.plain_context = 32768;
  config.max_context = 131072;
  EXPECT_EQ(RopeTableBytes(config, 1 << 20), 32768 * 512);
  config.scaled_rope = RopeScaling{};
  EXPECT_EQ(RopeTableBytes(config, 1 << 20), (32768 + 131072) * 512);
  EXPECT_EQ(RopeTableBytes(config, 64), 2 * 64 * 512);
}

}  // namespace
}  // namespace quire::worker
