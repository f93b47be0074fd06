#include "worker/model/test_checkpoint.h"

#include <stdlib.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>

namespace quire::worker {
namespace {

constexpr char kConfig[] =
    R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 24, "intermediate_size": 40,
  "num_attention_heads": 6, "num_key_value_heads": 3, "num_hidden_layers": 2, "vocab_size": 50, "head_dim": 8,
  "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false})";

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

}  // namespace

TestCheckpoint::TestCheckpoint(const std::string& dtype) : dtype_(dtype) {
  std::string pattern = std::filesystem::temp_directory_path() / "quire_checkpoint_XXXXXX";
  dir_ = mkdtemp(pattern.data());
  AddTensor("model.embed_tokens.weight", {50, 24});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    AddTensor(prefix + "input_layernorm.weight", {24});
    AddTensor(prefix + "post_attention_layernorm.weight", {24});
    AddTensor(prefix + "self_attn.q_proj.weight", {48, 24});
    AddTensor(prefix + "self_attn.q_proj.bias", {48});
    for (const char* name : {"k", "v"}) {
      AddTensor(prefix + "self_attn." + name + "_proj.weight", {24, 24});
      AddTensor(prefix + "self_attn." + name + "_proj.bias", {24});
    }
    AddTensor(prefix + "self_attn.o_proj.weight", {24, 48});
    AddTensor(prefix + "mlp.gate_proj.weight", {40, 24});
    AddTensor(prefix + "mlp.up_proj.weight", {40, 24});
    AddTensor(prefix + "mlp.down_proj.weight", {24, 40});
  }
  AddTensor("model.norm.weight", {24});
  AddTensor("lm_head.weight", {50, 24});
  std::ofstream(dir_ + "/config.json") << kConfig;
  Write();
}

TestCheckpoint::~TestCheckpoint() { std::filesystem::remove_all(dir_); }

void TestCheckpoint::AddTensor(const std::string& name, const std::vector<int64_t>& shape) {
  const size_t begin = data_.size();
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  for (int64_t i = 0; i < count; ++i) {
    random_ = random_ * 1664525 + 1013904223;
    AppendValue(dtype_, static_cast<int>(random_ >> 27) - 16, data_);
  }
  header_[name] = {{"dtype", dtype_}, {"shape", shape}, {"data_offsets", {begin, data_.size()}}};
}

absl::StatusOr<Checkpoint> TestCheckpoint::Open(const std::string& rope_scaling) const {
  return OpenCheckpoint(dir_, kConfig, rope_scaling);
}

void TestCheckpoint::EditHeader(const std::function<void(nlohmann::ordered_json& header)>& edit) {
  edit(header_);
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
