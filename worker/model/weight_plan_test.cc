#include "worker/model/weight_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

using Header = nlohmann::ordered_json;

absl::Status Check(const TestCheckpoint& checkpoint, int rank = 0, int ranks = 1) {
  const auto open = checkpoint.Open();
  EXPECT_TRUE(open.ok()) << open.status();
  return CheckWeights(*open->files, PlanWeights(open->config, *MakeShard(open->config, rank, ranks)));
}

// With Qwen2's biases, and with Qwen3's head norms.
class WeightPlanTest : public testing::TestWithParam<bool> {
 protected:
  static TestShape Shape() { return {.head_norms = GetParam()}; }

  // What a checkpoint whose header was changed is told.
  static std::string Verdict(const std::function<void(Header& header)>& edit) {
    TestCheckpoint checkpoint("BF16", Shape());
    checkpoint.EditHeader(edit);
    return std::string(Check(checkpoint).message());
  }

  static std::set<std::string> TensorNames() {
    std::set<std::string> names;
    TestCheckpoint("BF16", Shape()).EditHeader([&](const Header& header) {
      for (const auto& [name, entry] : header.items()) names.insert(name);
    });
    return names;
  }
};

TEST_P(WeightPlanTest, EveryRankTakesEveryTensor) {
  const std::set<std::string> stored = TensorNames();
  const TestCheckpoint checkpoint("BF16", Shape());
  const auto open = checkpoint.Open();
  ASSERT_TRUE(open.ok()) << open.status();
  const ModelConfig& config = open->config;
  int64_t elements = 0;
  for (int rank = 0; rank < 3; ++rank) {
    std::set<std::string> planned;
    PlanWeights(config, *MakeShard(config, rank, 3)).ForEach([&](const auto& entry) {
      for (const TensorSlice& slice : entry.parts) {
        planned.insert(slice.name);
        elements += slice.shape.size() == 2 ? slice.elements() : 0;
      }
    });
    EXPECT_EQ(planned, stored);
    EXPECT_TRUE(Check(checkpoint, rank, 3).ok());
  }
  // Matrices are dealt out without overlap: two vocabularies and two layers.
  EXPECT_EQ(elements, 2 * 50 * 24 + 2 * (48 * 24 + 2 * 24 * 24 + 24 * 48 + 3 * 40 * 24));
}

TEST_P(WeightPlanTest, SaysWhichTensorIsMissing) {
  for (const std::string& name : TensorNames()) {
    const std::string verdict = Verdict([&](Header& header) {
      header["other"] = header[name];
      header.erase(name);
    });
    EXPECT_NE(verdict.find(name), std::string::npos) << verdict;
  }
}

TEST_P(WeightPlanTest, SaysWhichTensorHasAnotherShape) {
  for (const std::string& name : TensorNames()) {
    const std::string verdict = Verdict([&](Header& header) {
      Header& shape = header[name]["shape"];
      shape = shape.size() == 2 ? Header{shape[1], shape[0]} : Header{shape[0], 1};
    });
    // o_proj [24, 48] and its like change; a square one is as before.
    if (verdict.empty()) {
      EXPECT_TRUE(name.ends_with("k_proj.weight") || name.ends_with("v_proj.weight")) << name;
    } else {
      EXPECT_NE(verdict.find(name + " has the shape"), std::string::npos) << verdict;
    }
  }
}

TEST_P(WeightPlanTest, SaysWhichTensorHasAnotherType) {
  for (const std::string& name : TensorNames()) {
    const std::string verdict = Verdict([&](Header& header) { header[name]["dtype"] = "I16"; });
    EXPECT_NE(verdict.find(name + " is stored neither"), std::string::npos) << verdict;
  }
}

TEST_P(WeightPlanTest, RefusesATensorOfALayerThatWouldBeIgnored) {
  const auto verdict_with = [](const std::string& extra) {
    TestCheckpoint checkpoint("BF16", Shape());
    checkpoint.Add(extra, {24});
    return std::string(Check(checkpoint).message());
  };
  // The other architecture's.
  const std::string other = GetParam() ? "q_proj.bias" : "q_norm.weight";
  EXPECT_NE(verdict_with("model.layers.0.self_attn." + other).find(other), std::string::npos);
  EXPECT_NE(verdict_with("model.layers.2.input_layernorm.weight").find("layers.2"), std::string::npos);
  EXPECT_EQ(verdict_with("model.layers.0.self_attn.rotary_emb.inv_freq"), "");
  EXPECT_EQ(verdict_with("metadata.whatever"), "");
}

TEST(Int8PlanTest, TakesWhatItsLeavesAllow) {
  const TestCheckpoint checkpoint("BF16", {.hidden = 64, .query_heads = 32, .kv_heads = 8, .ffn = 1024});
  const auto open = checkpoint.Open("", "int8"), bf16 = checkpoint.Open();
  ASSERT_TRUE(open.ok() && bf16.ok()) << open.status();
  for (const int ranks : {1, 2, 4, 8}) {
    const WeightPlan plan = PlanWeights(open->config, *MakeShard(open->config, ranks - 1, ranks));
    EXPECT_EQ(plan.layers[1].qkv.group, 64);
    EXPECT_EQ(plan.layers[1].o.group, 32);
    EXPECT_EQ(plan.layers[1].gate_up.group, 64);
    EXPECT_EQ(plan.layers[1].down.group, 128);
    EXPECT_EQ(plan.lm_head.group, 0);
    EXPECT_EQ(plan.embedding.group, 0);
  }
  const Shard one = *MakeShard(open->config, 0, 1);
  const WeightPlan plan = PlanWeights(open->config, one), large = PlanWeights(bf16->config, one);
  EXPECT_EQ(plan.layers[0].down.bytes(), 64 * (1024 + 1024 / 128 * 2));
  EXPECT_EQ(large.layers[0].down.bytes(), 64 * 1024 * 2);
  EXPECT_EQ(plan.lm_head.bytes(), large.lm_head.bytes());
  EXPECT_EQ(WeightsName(open->config), "int8-1-g64.32.128");
  EXPECT_EQ(WeightsName(bf16->config), "bf16");
  EXPECT_FALSE(checkpoint.Open("", "fp4").ok());
}

INSTANTIATE_TEST_SUITE_P(Architecture, WeightPlanTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Qwen3" : "Qwen2"; });

}  // namespace
}  // namespace quire::worker
