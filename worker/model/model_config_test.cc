#include "worker/model/model_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace quire::worker {
namespace {

using Json = nlohmann::json;

// QwQ-32B's, less the fields that nobody reads.
Json Qwen() {
  return Json::parse(R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
    "hidden_size": 5120, "intermediate_size": 27648, "max_position_embeddings": 40960, "max_window_layers": 64,
    "num_attention_heads": 40, "num_hidden_layers": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": false, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "vocab_size": 152064})");
}

Json Llama() {
  return Json::parse(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
    "max_position_embeddings": 8192, "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "rms_norm_eps": 1e-05, "rope_theta": 100000, "rope_scaling": null, "tie_word_embeddings": true,
    "vocab_size": 49152, "attention_bias": false, "mlp_bias": false})");
}

TEST(ModelConfigTest, ReadsQwen2) {
  const auto config = ParseModelConfig(Qwen().dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture.name, "Qwen2ForCausalLM");
  EXPECT_TRUE(config->architecture.qkv_bias);
  EXPECT_FALSE(config->architecture.head_norms);
  EXPECT_FALSE(config->tied_embeddings);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->kv_heads, 8);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_EQ(config->rope.kind, RopeScaling::Kind::kPlain);
  EXPECT_FALSE(config->scaled_rope.has_value());
  EXPECT_EQ(config->plain_context, 40960);
  EXPECT_EQ(config->max_context, 40960);
}

TEST(ModelConfigTest, ReadsLlama) {
  const auto config = ParseModelConfig(Llama().dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture.name, "LlamaForCausalLM");
  EXPECT_FALSE(config->architecture.qkv_bias);
  EXPECT_FALSE(config->architecture.head_norms);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_EQ(config->head_dim, 64);
}

// Qwen3-0.6B's, less the fields that nobody reads: its heads are wider than its hidden size over their
// number.
Json Qwen3() {
  return Json::parse(R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
    "attention_bias": false, "head_dim": 128, "hidden_size": 1024, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
    "sliding_window": null, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936})");
}

TEST(ModelConfigTest, ReadsQwen3) {
  Json json = Qwen3();
  const auto config = ParseModelConfig(json.dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture.name, "Qwen3ForCausalLM");
  EXPECT_FALSE(config->architecture.qkv_bias);
  EXPECT_TRUE(config->architecture.head_norms);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->max_context, 40960);
  json.erase("head_dim");  // transformers' default, not 1024 / 16
  EXPECT_EQ(ParseModelConfig(json.dump(), "")->head_dim, 128);
  json["sliding_window"] = 4096;  // named, not in use
  EXPECT_TRUE(ParseModelConfig(json.dump(), "").ok());
  json["use_sliding_window"] = true;
  EXPECT_FALSE(ParseModelConfig(json.dump(), "").ok());
  EXPECT_EQ(ParseModelConfig(Qwen3().dump(), "yarn:4:32768")->max_context, 131072);
}

TEST(ModelConfigTest, RopeScalingFlagAddsYarn) {
  const auto config = ParseModelConfig(Qwen().dump(), "yarn:4:32768");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->plain_context, 32768);
  EXPECT_EQ(config->max_context, 131072);
  EXPECT_EQ(config->rope.kind, RopeScaling::Kind::kPlain);
  ASSERT_TRUE(config->scaled_rope.has_value());
  EXPECT_EQ(config->scaled_rope->kind, RopeScaling::Kind::kYarn);
  EXPECT_DOUBLE_EQ(config->scaled_rope->attention_factor, 1.138629436111989);
}

// As transformers does: a checkpoint that says YaRN was made for it, at every length.
TEST(ModelConfigTest, YarnInTheFileHoldsForEveryRequest) {
  Json json = Qwen();
  json["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const auto config = ParseModelConfig(json.dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope.kind, RopeScaling::Kind::kYarn);
  EXPECT_FALSE(config->scaled_rope.has_value());
  EXPECT_EQ(config->plain_context, 131072);
  EXPECT_EQ(config->max_context, 131072);
}

TEST(ModelConfigTest, TheFlagMakesTheFilesYarnAChoicePerRequest) {
  Json json = Qwen();
  json["rope_scaling"] = {{"type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 32768}};
  const auto config = ParseModelConfig(json.dump(), "yarn:4:32768");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope.kind, RopeScaling::Kind::kPlain);
  ASSERT_TRUE(config->scaled_rope.has_value());
  EXPECT_EQ(config->scaled_rope->factor, 4.0);
  EXPECT_EQ(config->plain_context, 32768);
  EXPECT_EQ(config->max_context, 131072);
}

// Qwen2.5-7B-Instruct-1M's: plain attention within the first chunk.
TEST(ModelConfigTest, DualChunkAttentionEndsTheContext) {
  Json json = Qwen();
  json["max_position_embeddings"] = 1010000;
  EXPECT_EQ(ParseModelConfig(json.dump(), "")->max_context, 1010000);
  json["dual_chunk_attention_config"] = {
      {"chunk_size", 262144}, {"local_size", 8192}, {"original_max_position_embeddings", 262144}};
  const auto config = ParseModelConfig(json.dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->max_context, 253952);
  EXPECT_EQ(config->plain_context, 253952);
}

TEST(ModelConfigTest, ReadsNewerRopeParameters) {
  Json json = Llama();
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_type", "llama3"},   {"rope_theta", 500000.0},
                             {"factor", 8.0},           {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 1024}};
  const auto config = ParseModelConfig(json.dump(), "");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_theta, 500000.0);
  EXPECT_EQ(config->rope.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(config->max_context, 8192);
  EXPECT_FALSE(ParseModelConfig(json.dump(), "yarn:4:1024").ok());
}

struct Refusal {
  const char* name;
  Json patch;           // merged into the good config; null removes a field
  const char* message;  // part of what the user reads
};

void ExpectRefused(const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    Json json = Qwen();
    json.merge_patch(refusal.patch);
    const auto config = ParseModelConfig(json.dump(), "");
    ASSERT_FALSE(config.ok()) << refusal.name;
    EXPECT_NE(config.status().message().find(refusal.message), absl::string_view::npos)
        << refusal.name << ": " << config.status();
  }
}

TEST(ModelConfigTest, RefusesAndSaysWhat) {
  ExpectRefused({
      {"architecture", {{"architectures", {"MistralForCausalLM"}}}, "MistralForCausalLM is not supported"},
      {"no architecture", {{"architectures", nullptr}}, "architectures"},
      {"negative layers", {{"num_hidden_layers", -1}}, "num_hidden_layers is -1"},
      {"zero vocabulary", {{"vocab_size", 0}}, "vocab_size is 0"},
      {"more kv heads", {{"num_key_value_heads", 80}}, "not a multiple"},
      {"uneven kv heads", {{"num_key_value_heads", 7}}, "not a multiple"},
      {"zero kv heads", {{"num_key_value_heads", 0}}, "num_key_value_heads is 0"},
      {"odd head", {{"head_dim", 127}}, "head_dim is odd"},
      {"large head", {{"head_dim", 258}}, "head_dim is 258; at most 256"},
      {"long context", {{"max_position_embeddings", 1600001}}, "1600001 tokens is too long; 1600000"},
      {"dual chunk without size",
       {{"dual_chunk_attention_config", {{"local_size", 1}}}},
       "chunk_size is missing"},
      {"head does not divide", {{"hidden_size", 5122}}, "head_dim"},
      {"fractional size", {{"hidden_size", 5120.5}}, "hidden_size is not an integer"},
      {"huge size", {{"hidden_size", 18446744073709551615u}}, "hidden_size"},
      {"text as a size", {{"vocab_size", "many"}}, "vocab_size is not an integer"},
      {"missing size", {{"intermediate_size", nullptr}}, "intermediate_size is missing"},
      {"quantized", {{"quantization_config", {{"quant_method", "awq"}}}}, "quantized"},
      {"activation", {{"hidden_act", "gelu"}}, "gelu"},
      {"sliding window", {{"use_sliding_window", true}}, "sliding window"},
      {"layer types", {{"layer_types", {"full_attention", "sliding_attention"}}}, "layer_types"},
      {"layer types as text", {{"layer_types", "full_attention"}}, "layer_types is not a list"},
      {"large eps", {{"rms_norm_eps", 1e300}}, "rms_norm_eps is 1e+300"},
      {"eps of no float", {{"rms_norm_eps", 1e-300}}, "rms_norm_eps is 1e-300"},
      {"eps", {{"rms_norm_eps", -1.0}}, "rms_norm_eps"},
      {"context", {{"max_position_embeddings", 0}}, "max_position_embeddings is 0"},
  });
}

TEST(ModelConfigTest, RefusesRopesAndSaysWhat) {
  ExpectRefused({
      {"zero theta", {{"rope_theta", 0}}, "rope_theta is 0"},
      {"theta of 1", {{"rope_theta", 1}}, "rope_theta"},
      {"long yarn",
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 64.0}}}},
       "2621440 tokens is too long"},
      {"partial rotary", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {"partial rotary in the RoPE",
       {{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}},
       "partial_rotary_factor"},
      {"a RoPE for each layer type",
       {{"rope_parameters", {{"full_attention", {{"rope_type", "yarn"}, {"factor", 4.0}}}}}},
       "full_attention is not supported"},
      {"yarn without end",
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 1e300}}}},
       "factor is 1e+300"},
      {"infinite attention",
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}, {"attention_factor", 1e300}}}},
       "attention_factor is 1e+300"},
      {"large theta", {{"rope_theta", 1e300}}, "rope_theta is 1e+300"},
      {"linear rope", {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}, "linear is not supported"},
      {"yarn without factor", {{"rope_scaling", {{"rope_type", "yarn"}}}}, "factor is missing"},
      {"rope as text", {{"rope_scaling", "yarn"}}, "not an object"},
  });
}

TEST(ModelConfigTest, RefusesBiasesWhereNobodyLoadsThem) {
  for (const char* field : {"attention_bias", "mlp_bias"}) {
    for (Json json : {Llama(), Qwen3()}) {
      json[field] = true;
      EXPECT_FALSE(ParseModelConfig(json.dump(), "").ok()) << field;
    }
  }
  Json json = Llama();
  json["sliding_window"] = 4096;
  EXPECT_FALSE(ParseModelConfig(json.dump(), "").ok());
}

TEST(ModelConfigTest, RefusesWhatIsNoConfig) {
  for (const char* text : {"", "{", "[]", "null", "{}", "{\"architectures\": []}"}) {
    EXPECT_FALSE(ParseModelConfig(text, "").ok()) << text;
  }
  for (const char* flag :
       {"yarn", "yarn:4", "yarn:0.5:32768", "yarn:4:0", "yarn:nan:32768", "linear:4:32768", "yarn:4:1:1"}) {
    EXPECT_FALSE(ParseModelConfig(Qwen().dump(), flag).ok()) << flag;
  }
}

}  // namespace
}  // namespace quire::worker
