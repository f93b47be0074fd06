// The model against Hugging Face transformers: logits closer to the fp32 reference than
// transformers' own bf16 run (cases.h says by how much), the greedy token wherever its margin is above that
// error, at 1, 2 and 3 ranks; and the same bits however a prompt is chunked.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/core/status.h"
#include "kernels/backend_factory.h"
#include "kernels/reference/reference_backend.h"
#include "tests/golden/cases.h"
#include "tests/golden/rank_threads.h"
#include "tests/golden/recording.h"
#include "worker/model/safetensors.h"

namespace quire::golden {
namespace {

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.recording + "_" + info.param.backend + "_" + std::to_string(info.param.ranks);
  if (info.param.weights != "bf16") name += "_" + info.param.weights;
  std::ranges::replace(name, '-', '_');
  return name;
}

absl::StatusOr<std::unique_ptr<kernels::Backend>> MakeNamedBackend(const std::string& name) {
  if (name == "reference") return kernels::MakeReferenceBackend();
  return kernels::MakeBackend({.device = "cpu", .isa = name});
}

class ModelGoldenTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    absl::StatusOr<Recording> recording = LoadRecording(GetParam().recording);
    ASSERT_TRUE(recording.ok()) << recording.status();
    recording_ = *std::move(recording);
    ids_ = recording_.AllIds();
    setup_ = {recording_.model_dir, recording_.rope_scaling, GetParam().ranks, std::ssize(ids_),
              OnHost([] { return MakeNamedBackend(GetParam().backend); })};
    setup_.weights = GetParam().weights;
  }

  // Rank 0's logits of the rows at `positions`, once for each way to cut the ids.
  std::vector<std::vector<float>> Logits(std::span<const int64_t> positions, std::span<const Chunks> cuts) {
    std::vector<std::vector<float>> results;
    const absl::Status status = RunRanks(setup_, [&](RankModel& model) -> absl::Status {
      for (const Chunks chunks : cuts) {
        QUIRE_ASSIGN_OR_RETURN(std::vector<float> logits, model.Logits(ids_, positions, chunks));
        if (model.rank() == 0) results.push_back(std::move(logits));
      }
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    results.resize(cuts.size());
    return results;
  }

  std::vector<float> WholeLogits(std::span<const int64_t> positions) {
    return Logits(positions, std::vector{Chunks{Whole(), 0}}).front();
  }

  void ExpectEqualLogits(const char* one, const char* other) {
    std::vector<std::vector<float>> results;
    for (const char* isa : {one, other}) {
      setup_.make_device = OnHost([isa] { return MakeNamedBackend(isa); });
      results.push_back(WholeLogits(recording_.logit_rows));
      ASSERT_FALSE(results.back().empty());
    }
    ASSERT_EQ(results[0].size(), results[1].size());
    EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(float)), 0);
  }

  int64_t Whole() const { return std::ssize(ids_); }

  Recording recording_;
  std::vector<int32_t> ids_;
  GroupSetup setup_;
};

TEST_P(ModelGoldenTest, LogitsAreWithinBf16Error) {
  const std::vector<float> logits = WholeLogits(recording_.logit_rows);
  const auto rows = std::ssize(recording_.logit_rows);
  const int64_t vocab = std::ssize(logits) / rows;
  ASSERT_EQ((vocab + recording_.vocab_stride - 1) / recording_.vocab_stride, recording_.columns);
  double squares = 0.0, worst = 0.0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < recording_.columns; ++column) {
      const double error = double{logits[row * vocab + column * recording_.vocab_stride]} -
                           double{recording_.logits[row * recording_.columns + column]};
      squares += error * error;
      worst = std::max(worst, std::abs(error));
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(rows * recording_.columns));
  RecordProperty("rms_of_bf16", std::to_string(rms / recording_.bf16_rms_error));
  RecordProperty("max_of_bf16", std::to_string(worst / recording_.bf16_max_error));
  EXPECT_LE(rms, GetParam().allowed.rms * recording_.bf16_rms_error);
  EXPECT_LE(worst, GetParam().allowed.max * recording_.bf16_max_error);
}

TEST_P(ModelGoldenTest, GreedyTokensAreTheReferences) {
  std::vector<int64_t> positions;
  for (int64_t position = std::ssize(recording_.prompt_ids) - 1; position < Whole(); ++position) {
    positions.push_back(position);
  }
  const std::vector<float> logits = WholeLogits(positions);
  const int64_t vocab = std::ssize(logits) / std::ssize(positions);
  int compared = 0;
  for (size_t i = 0; i < recording_.greedy_ids.size(); ++i) {
    if (recording_.margins[i] <= std::max(1.0, GetParam().allowed.max) * recording_.bf16_max_error) continue;
    const auto row = logits.begin() + static_cast<int64_t>(i) * vocab;
    EXPECT_EQ(std::max_element(row, row + recording_.tokenizer_size) - row, recording_.greedy_ids[i])
        << "token " << i;
    ++compared;
  }
  EXPECT_GT(compared, GetParam().weights == "bf16" ? std::ssize(recording_.greedy_ids) / 4 : 0);
}

TEST_P(ModelGoldenTest, ChunksDoNotChangeABit) {
  const int64_t prompt = std::ssize(recording_.prompt_ids);
  const std::vector<Chunks> cuts = {{Whole(), 0}, {prompt, 1}, {1, 7}, {16, 16}};
  const std::vector<std::vector<float>> results = Logits(recording_.logit_rows, cuts);
  ASSERT_FALSE(results[0].empty());
  for (size_t i = 1; i < cuts.size(); ++i) {
    ASSERT_EQ(results[i].size(), results[0].size());
    EXPECT_EQ(std::memcmp(results[i].data(), results[0].data(), results[0].size() * sizeof(float)), 0)
        << "chunks of " << cuts[i].first << ", " << cuts[i].rest;
  }
}

TEST_P(ModelGoldenTest, InstructionSetsAgreeBitwise) {
  if (GetParam().backend != "auto" || GetParam().ranks != 1) return;  // one path, or nothing new
  if (!MakeNamedBackend("avx512").ok()) GTEST_SKIP() << "this machine has no AVX-512 BF16";
  ExpectEqualLogits("avx2", "avx512");
}

TEST_P(ModelGoldenTest, AmxAndItsTwinAgreeBitwise) {
  if (GetParam().backend != "amx-twin") return;
  const absl::Status amx = MakeNamedBackend("amx").status();
  if (!amx.ok()) GTEST_SKIP() << "AMX and its twin were not compared: " << amx.message();
  ExpectEqualLogits("amx-twin", "amx");
}

// A checkpoint whose own config.json says YaRN means it for every request, short ones too, as transformers
// does.
TEST(ConfigYarnGoldenTest, IsWhatTheFlagGives) {
  const absl::StatusOr<Recording> recording = LoadRecording("tiny-qwen2-yarn");
  ASSERT_TRUE(recording.ok()) << recording.status();
  const std::filesystem::path dir = testing::TempDir() + "/config_yarn_" + std::to_string(getpid());
  std::filesystem::copy(recording->model_dir, dir);
  nlohmann::json config = nlohmann::json::parse(std::ifstream(dir / "config.json"));
  config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  std::ofstream(dir / "config.json") << config;
  std::vector<std::vector<float>> results;
  for (const auto& [model, flag] :
       {std::pair{recording->model_dir, recording->rope_scaling}, {dir.string(), ""}}) {
    const std::vector<int32_t> ids = recording->AllIds();
    const GroupSetup setup{model, flag, 1, std::ssize(ids), OnHost([] { return MakeNamedBackend("auto"); })};
    const std::vector<int64_t> positions = {0, 1, 30, 63, 64, 100, std::ssize(ids) - 1};
    const absl::Status status = RunRanks(setup, [&](RankModel& rank) -> absl::Status {
      QUIRE_ASSIGN_OR_RETURN(results.emplace_back(), rank.Logits(ids, positions, {std::ssize(ids), 0}));
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
  std::filesystem::remove_all(dir);
  EXPECT_FALSE(results.at(0).empty());
  EXPECT_EQ(results.at(0), results.at(1));
}

// What --rope-scaling adds changes nothing for requests that don't need it.
TEST(PlainRopeGoldenTest, OfAModelWithScalingIsThatOfTheModelWithout) {
  const absl::StatusOr<Recording> recording = LoadRecording("tiny-qwen2-yarn");
  ASSERT_TRUE(recording.ok()) << recording.status();
  std::vector<int32_t> ids = recording->AllIds();
  ids.resize(64);  // what fits without scaling
  const auto logits = [&](const std::string& flag, bool plain_rope) {
    const GroupSetup setup{recording->model_dir,
                           flag,
                           2,
                           std::ssize(ids),
                           OnHost([] { return MakeNamedBackend("auto"); }),
                           plain_rope};
    std::vector<float> result;
    const absl::Status status = RunRanks(setup, [&](RankModel& rank) -> absl::Status {
      const std::vector<int64_t> positions = {0, 1, 30, 63};
      QUIRE_ASSIGN_OR_RETURN(std::vector<float> part, rank.Logits(ids, positions, {std::ssize(ids), 0}));
      if (rank.rank() == 0) result = std::move(part);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return result;
  };
  const std::vector<float> without = logits("", false);
  EXPECT_FALSE(without.empty());
  EXPECT_EQ(logits(recording->rope_scaling, true), without);
  EXPECT_NE(logits(recording->rope_scaling, false), without);
}

// What the files hold, counted from their own headers: matrices in bf16, vectors in fp32.
struct StoredBytes {
  int64_t split = 0, replicated = 0;
};

StoredBytes CountStored(const worker::Safetensors& files, const worker::ModelConfig& config) {
  StoredBytes bytes;
  const auto add = [&](const std::string& name) {
    const auto tensor = files.Find(name);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const bool matrix = tensor->shape.size() == 2;
    const int64_t size = matrix ? 2 * tensor->shape[0] * tensor->shape[1] : 4 * tensor->shape[0];
    (matrix || name.ends_with(".bias") ? bytes.split : bytes.replicated) += size;
  };
  add("model.embed_tokens.weight");
  add("model.norm.weight");
  if (!config.tied_embeddings) add("lm_head.weight");
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* name : {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."}) {
      add(prefix + name + "weight");
      if (config.architecture.qkv_bias) add(prefix + name + "bias");
    }
    if (config.architecture.head_norms) {
      add(prefix + "self_attn.q_norm.weight");
      add(prefix + "self_attn.k_norm.weight");
    }
    for (const char* name : {"self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
                             "input_layernorm", "post_attention_layernorm"}) {
      add(prefix + name + ".weight");
    }
  }
  return bytes;
}

TEST_P(ModelGoldenTest, EachRankHoldsItsSliceOnly) {
  std::vector<int64_t> held(setup_.ranks), expected(setup_.ranks);
  worker::ModelConfig config;
  const absl::Status status = RunRanks(setup_, [&](RankModel& model) {
    held[model.rank()] = model.weight_bytes();
    expected[model.rank()] = worker::PlanWeights(model.config(), model.shard()).bytes();
    if (model.rank() == 0) config = model.config();
    return absl::OkStatus();
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(held, expected);
  if (GetParam().weights != "bf16") return;  // they hold fewer bytes than the file
  const auto files = worker::Safetensors::Open(recording_.model_dir);
  ASSERT_TRUE(files.ok()) << files.status();
  const StoredBytes stored = CountStored(**files, config);
  int64_t sum = 0;
  for (const int64_t bytes : held) sum += bytes;
  EXPECT_EQ(sum, stored.split + setup_.ranks * stored.replicated);
}

INSTANTIATE_TEST_SUITE_P(Recorded, ModelGoldenTest, testing::ValuesIn(Cases()), CaseName);

}  // namespace
}  // namespace quire::golden
