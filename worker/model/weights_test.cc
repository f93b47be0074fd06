#include "worker/model/weights.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_step.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

struct Loaded {
  std::unique_ptr<kernels::Backend> backend = kernels::MakeReferenceBackend();
  absl::StatusOr<ModelWeights> weights;
  std::vector<LoadedSoFar> progress;
};

Loaded Load(const TestCheckpoint& checkpoint, int rank, int ranks, const std::string& rope_scaling = "",
            const std::string& weights = "bf16") {
  Loaded loaded;
  const auto open = checkpoint.Open(rope_scaling, weights);
  if (!open.ok()) {
    loaded.weights = open.status();
    return loaded;
  }
  const auto shard = MakeShard(open->config, rank, ranks);
  loaded.weights =
      LoadWeights(*open->files, open->config, PlanWeights(open->config, *shard),
                  {.max_positions = 64,
                   .threads = 2,
                   .progress = [&](const LoadedSoFar& so_far) { loaded.progress.push_back(so_far); }},
                  *loaded.backend);
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

// First the weights, of whose reading the last is heard with the last of them, then the rotary tables.
TEST(WeightsTest, ProgressIsOfTheShardAndOfTheRotaryTables) {
  const TestCheckpoint checkpoint("F32");
  const auto open = checkpoint.Open("yarn:4:32");
  ASSERT_TRUE(open.ok()) << open.status();
  const ModelConfig& config = open->config;
  for (int rank = 0; rank < 2; ++rank) {
    const Loaded loaded = Load(checkpoint, rank, 2, "yarn:4:32");
    ASSERT_TRUE(loaded.weights.ok()) << loaded.weights.status();
    const WeightPlan plan = PlanWeights(config, *MakeShard(config, rank, 2));
    int64_t items = 0, read = 0;
    plan.ForEach([&](const auto& item) {
      items += item.parts.empty() ? 0 : 1;
      for (const TensorSlice& slice : item.parts) read += 4 * slice.elements();
    });
    ASSERT_EQ(std::ssize(loaded.progress), items + 2) << "two tables";
    EXPECT_TRUE(std::ranges::is_sorted(loaded.progress, {}, &LoadedSoFar::bytes));
    EXPECT_EQ(loaded.progress[items - 1].bytes, plan.bytes());
    EXPECT_EQ(loaded.progress[items - 1].read_bytes, read);
    EXPECT_LT(loaded.progress[items - 2].read_bytes, read);
    const LoadedSoFar& last = loaded.progress.back();
    EXPECT_EQ(last.bytes, plan.bytes() + RopeTableBytes(config, 64));
    EXPECT_EQ(last.total_bytes, last.bytes);
    EXPECT_EQ(last.read_bytes, read);
    EXPECT_EQ(loaded.backend->weight_stats().bytes, plan.bytes());
  }
}

TEST(WeightsTest, AMatrixThatIsConvertedIsWhatLoadingHolds) {
  for (const char* dtype : {"F16", "F32"}) {
    const TestCheckpoint checkpoint(dtype);
    const Checkpoint open = *checkpoint.Open();
    const auto of_rank = [&](int rank, int ranks) {
      return LoadBytes(*open.files, PlanWeights(open.config, *MakeShard(open.config, rank, ranks)));
    };
    EXPECT_EQ(of_rank(0, 1), 96 * 24 * 2) << "q, k and v";
    EXPECT_EQ(of_rank(0, 3), 32 * 24 * 2);
  }
  const TestCheckpoint checkpoint("BF16");
  const Checkpoint open = *checkpoint.Open();
  const auto& [name, first] = *open.files->tensors().begin();
  const bool in_place =
      reinterpret_cast<uintptr_t>(first.bytes.data()) % 2 == 0;  // behind a header of any length
  EXPECT_EQ(LoadBytes(*open.files, PlanWeights(open.config, *MakeShard(open.config, 0, 1))),
            in_place ? 0 : 96 * 24 * 2);
}

// The layers' matrices in int8, of which o's 48 columns are no groups.
constexpr TestShape kInt8Shape{.hidden = 64, .ffn = 96};

TEST(WeightsTest, Int8IsLoadedAsItWasPlanned) {
  const TestCheckpoint checkpoint("F32", kInt8Shape);
  const Checkpoint open = *checkpoint.Open("", "int8");
  for (const int ranks : {1, 2, 3}) {
    for (int rank = 0; rank < ranks; ++rank) {
      const Loaded loaded = Load(checkpoint, rank, ranks, "", "int8");
      ASSERT_TRUE(loaded.weights.ok()) << loaded.weights.status();
      const WeightPlan plan = PlanWeights(open.config, *MakeShard(open.config, rank, ranks));
      EXPECT_EQ(loaded.progress.back().total_bytes, plan.bytes() + RopeTableBytes(open.config, 64));
      EXPECT_EQ(loaded.backend->weight_stats().bytes, plan.bytes());
      EXPECT_GT(LoadBytes(*open.files, plan), plan.layers[0].gate_up.bytes());
    }
  }
}

TEST(WeightsTest, Int8SaysWhichTensorIsNotFinite) {
  TestCheckpoint checkpoint("BF16", kInt8Shape);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  checkpoint.Set(name, 50 * 64 + 7, 0x7f80);
  EXPECT_TRUE(Load(checkpoint, 0, 1).weights.ok()) << "in bf16 it is what it is";
  const absl::Status status = Load(checkpoint, 0, 1, "", "int8").weights.status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  for (const std::string& part : {name, std::string("row 50"), std::string("--weights bf16")}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
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
