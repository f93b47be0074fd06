// A model whose weights a counter makes: element i of a tensor is a function of (seed, i), so that a device
// fills 65 GB in a moment and the host knows any element. Deviations keep a deep model's values near one.
// Owns the device's memory; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/cuda/step/shape.h"
#include "kernels/cuda/step/weights.h"

namespace quire::kernels::cuda {

// About normal: a sum of four bytes.
constexpr float GeneratedValue(uint32_t seed, uint32_t i, float deviation) {
  uint32_t bits = i ^ seed;
  bits = (bits ^ (bits >> 16)) * 0x7feb352du;
  bits = (bits ^ (bits >> 15)) * 0x846ca68bu;
  bits = bits ^ (bits >> 16);
  const int sum = static_cast<int>(bits & 255) + static_cast<int>((bits >> 8) & 255) +
                  static_cast<int>((bits >> 16) & 255) + static_cast<int>(bits >> 24) - 510;
  return static_cast<float>(sum) * (deviation / 147.8f);
}

enum class StepTensor : uint8_t {
  kEmbedding,
  kLmHead,
  kFinalNorm,
  kAttentionNorm,
  kQkv,
  kQkvBias,
  kO,
  kFfnNorm,
  kGateUp,
  kDown,
};

struct TensorSpec {
  size_t elements;
  float deviation, mean;
  uint32_t seed;
  float At(size_t i) const { return mean + GeneratedValue(seed, static_cast<uint32_t>(i), deviation); }
};
// layer: any for what no layer has.
TensorSpec SpecOf(const StepShape& shape, StepTensor tensor, int layer, uint32_t seed);

// [positions][cosines, then sines][head_dim / 2]
std::vector<float> RopeTable(const StepShape& shape, int positions);

// to[i] = bf16 of the spec's, mean 0.
void FillGenerated(Stream& stream, uint16_t* to, const TensorSpec& spec);

class GeneratedModel {
 public:
  // Layer by layer; what didn't fit stands in error().
  GeneratedModel(Stream& stream, const StepShape& shape, int positions, uint32_t seed);

  const std::string& error() const { return error_; }
  const StepWeights& weights() const { return weights_; }
  const StepShape& shape() const { return shape_; }
  uint32_t seed() const { return seed_; }

 private:
  const uint16_t* Matrix(StepTensor tensor, int layer);
  const float* Vector(StepTensor tensor, int layer);
  bool AddLayer(int layer);

  Stream& stream_;
  const StepShape shape_;
  const uint32_t seed_;
  std::vector<DeviceArray<uint16_t>> matrices_;
  std::vector<DeviceArray<float>> vectors_;
  StepWeights weights_;
  std::string error_;
};

}  // namespace quire::kernels::cuda
