#include "worker/model/test_checkpoint.h"

#include <stdlib.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

namespace quire::worker {
namespace {

constexpr int64_t kIds = 50, kLayers = 2;

std::string ConfigOf(const TestShape& shape) {
  return nlohmann::json{{"architectures", {shape.head_norms ? "Qwen3ForCausalLM" : "Qwen2ForCausalLM"}},
                        {"hidden_size", shape.hidden},
                        {"intermediate_size", shape.ffn},
                        {"num_attention_heads", shape.query_heads},
                        {"num_key_value_heads", shape.kv_heads},
                        {"num_hidden_layers", kLayers},
                        {"vocab_size", kIds},
                        {"head_dim", shape.head_dim},
                        {"max_position_embeddings", 128},
                        {"rms_norm_eps", 1e-6},
                        {"rope_theta", 10000.0},
                        {"tie_word_embeddings", false}}
      .dump();
}

void Append(uint32_t bits, size_t bytes, std::string& out) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(bits >> (8 * i)));
}

// `eighths` / 8, |eighths| <= 16.
void AppendValue(const std::string& dtype, int eighths, std::string& out) {
  const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(eighths) / 8.0f);
  if (dtype == "F32") {
    Append(bits, 4, out);
  } else if (dtype == "BF16") {
    Append(bits >> 16, 2, out);
  } else {
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    Append((bits >> 31) << 15 | (magnitude == 0 ? 0 : (magnitude >> 13) - (112u << 10)), 2, out);
  }
}

// A bf16 of any sign and mantissa between 2^-6 and 1/4.
void AppendFineValue(uint32_t random, std::string& out) {
  constexpr uint32_t kLeastExponent = 127 - 6;
  Append((random & 0x807F) | (kLeastExponent + (random >> 7) % 4) << 7, 2, out);
}

}  // namespace

TestCheckpoint::TestCheckpoint(const std::string& dtype, const TestShape& shape)
    : dtype_(dtype), config_(ConfigOf(shape)), rounds_(shape.rounds) {
  std::string pattern = std::filesystem::temp_directory_path() / "quire_checkpoint_XXXXXX";
  dir_ = mkdtemp(pattern.data());
  const int64_t hidden = shape.hidden;
  AddTensor("model.embed_tokens.weight", {kIds, hidden});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    AddTensor(prefix + "input_layernorm.weight", {hidden});
    AddTensor(prefix + "post_attention_layernorm.weight", {hidden});
    AddAttention(prefix + "self_attn.", shape);
    AddTensor(prefix + "mlp.gate_proj.weight", {shape.ffn, hidden});
    AddTensor(prefix + "mlp.up_proj.weight", {shape.ffn, hidden});
    AddTensor(prefix + "mlp.down_proj.weight", {hidden, shape.ffn});
  }
  AddTensor("model.norm.weight", {hidden});
  AddTensor("lm_head.weight", {kIds, hidden});
  std::ofstream(dir_ + "/config.json") << config_;
  Write();
}

TestCheckpoint::~TestCheckpoint() { std::filesystem::remove_all(dir_); }

void TestCheckpoint::AddAttention(const std::string& prefix, const TestShape& shape) {
  const int64_t q = shape.query_heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  for (const auto& [name, rows] : {std::pair<std::string, int64_t>{"q", q}, {"k", kv}, {"v", kv}}) {
    AddTensor(prefix + name + "_proj.weight", {rows, shape.hidden});
    if (!shape.head_norms) AddTensor(prefix + name + "_proj.bias", {rows});
  }
  if (shape.head_norms) {
    AddTensor(prefix + "q_norm.weight", {shape.head_dim});
    AddTensor(prefix + "k_norm.weight", {shape.head_dim});
  }
  AddTensor(prefix + "o_proj.weight", {shape.hidden, q});
}

void TestCheckpoint::AddTensor(const std::string& name, const std::vector<int64_t>& shape) {
  const size_t begin = data_.size();
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  for (int64_t i = 0; i < count; ++i) {
    random_ = random_ * 1664525 + 1013904223;
    if (rounds_) {
      AppendFineValue(random_ >> 16, data_);
    } else {
      AppendValue(dtype_, static_cast<int>(random_ >> 27) - 16, data_);
    }
  }
  header_[name] = {{"dtype", dtype_}, {"shape", shape}, {"data_offsets", {begin, data_.size()}}};
}

absl::StatusOr<Checkpoint> TestCheckpoint::Open(const std::string& rope_scaling,
                                                const std::string& weights) const {
  return OpenCheckpoint(dir_, config_, rope_scaling, weights);
}

void TestCheckpoint::EditHeader(const std::function<void(nlohmann::ordered_json& header)>& edit) {
  edit(header_);
  Write();
}

void TestCheckpoint::Set(const std::string& name, int64_t index, uint16_t bits) {
  const size_t at = header_.at(name).at("data_offsets").at(0).get<size_t>() + 2 * index;
  data_[at] = static_cast<char>(bits);
  data_[at + 1] = static_cast<char>(bits >> 8);
  Write();
}

void TestCheckpoint::Add(const std::string& name, const std::vector<int64_t>& shape) {
  AddTensor(name, shape);
  Write();
}

void TestCheckpoint::Write() const {
  const std::string header = header_.dump();
  std::string length;
  Append(static_cast<uint32_t>(header.size()), 4, length);
  Append(0, 4, length);
  std::ofstream(dir_ + "/model.safetensors", std::ios::binary) << length << header << data_;
}

}  // namespace quire::worker
