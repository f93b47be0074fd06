// A random checkpoint of a few KB in a temporary folder, for the unit tests of this folder. Its values are
// multiples of 1/8, so that BF16, F16 and F32 hold the same ones, and most sums are exact.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "worker/model/checkpoint.h"

namespace quire::worker {

struct TestShape {
  int64_t hidden = 24, query_heads = 6, kv_heads = 3, ffn = 40;  // of two layers, 50 ids
  // BF16 only: values of many bits and sizes, whose sums are rounded.
  bool rounds = false;
  bool head_norms = false;  // Qwen3's, in place of Qwen2's biases
  int64_t head_dim = 8;
};

class TestCheckpoint {
 public:
  // Writes a Qwen2 or Qwen3 model of this shape, stored as `dtype` ("BF16", "F16" or "F32").
  explicit TestCheckpoint(const std::string& dtype, const TestShape& shape = {});
  ~TestCheckpoint();
  TestCheckpoint(const TestCheckpoint&) = delete;
  TestCheckpoint& operator=(const TestCheckpoint&) = delete;

  const std::string& dir() const { return dir_; }
  absl::StatusOr<Checkpoint> Open(const std::string& rope_scaling = "",
                                  const std::string& weights = "bf16") const;
  // Changes the safetensors header: the file is written again with the header that `edit` leaves.
  void EditHeader(const std::function<void(nlohmann::ordered_json& header)>& edit);
  // BF16 only: an element of a tensor.
  void Set(const std::string& name, int64_t index, uint16_t bits);
  // One more tensor, after the others.
  void Add(const std::string& name, const std::vector<int64_t>& shape);

 private:
  void AddTensor(const std::string& name, const std::vector<int64_t>& shape);
  void AddAttention(const std::string& prefix, const TestShape& shape);
  void Write() const;

  const std::string dtype_, config_;
  const bool rounds_;
  std::string dir_;
  nlohmann::ordered_json header_;
  std::string data_;
  uint32_t random_ = 1;
};

}  // namespace quire::worker
