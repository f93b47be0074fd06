#include "kernels/cuda/step/testing/generated_model.h"

#include <cmath>

#include "kernels/cuda/vector8.h"

namespace quire::kernels::cuda {
namespace {

struct FillGeneratedKernel {
  struct Params {
    uint16_t* to;
    size_t count;
    uint32_t seed;
    float deviation;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    const size_t step = static_cast<size_t>(GridSize().x) * kThreads * 8;
    for (size_t i = (static_cast<size_t>(BlockIndex().x) * kThreads + ThreadIndex()) * 8; i < p.count;
         i += step) {
      float v[8];
      QUIRE_UNROLL
      for (int j = 0; j < 8; ++j) v[j] = GeneratedValue(p.seed, static_cast<uint32_t>(i) + j, p.deviation);
      if (i + 8 <= p.count) {
        Store8(p.to + i, v);
      } else {
        for (int j = 0; i + j < p.count; ++j) p.to[i + j] = FloatToBf16(v[j]);
      }
    }
  }
};

uint32_t Mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

}  // namespace

TensorSpec SpecOf(const StepShape& shape, StepTensor tensor, int layer, uint32_t seed) {
  const auto hidden = static_cast<size_t>(shape.hidden), ffn = static_cast<size_t>(shape.ffn);
  const auto q = static_cast<size_t>(shape.QWidth()), qkv = static_cast<size_t>(shape.QkvWidth());
  const auto vocabulary = static_cast<size_t>(shape.vocabulary);
  const uint32_t of_tensor =
      Mix(seed * 1000003u + static_cast<uint32_t>(layer) * 64 + static_cast<uint32_t>(tensor) + 1);
  // Sums of `inputs` products with values near one come out near one.
  const auto matrix = [&](size_t outputs, size_t inputs, float size) -> TensorSpec {
    return {outputs * inputs, size / std::sqrt(static_cast<float>(inputs)), 0, of_tensor};
  };
  switch (tensor) {
    case StepTensor::kEmbedding:
      return {vocabulary * hidden, 1, 0, of_tensor};
    case StepTensor::kLmHead:
      return matrix(vocabulary, hidden, 3);  // some tokens stand out, as a model's do
    case StepTensor::kQkv:
      return matrix(qkv, hidden, 1);
    case StepTensor::kO:
      return matrix(hidden, q, 1);
    case StepTensor::kGateUp:
      return matrix(2 * ffn, hidden, 1);
    case StepTensor::kDown:
      return matrix(hidden, ffn, 1);
    case StepTensor::kQkvBias:
      return {qkv, 0.3f, 0, of_tensor};
    case StepTensor::kFinalNorm:
    case StepTensor::kAttentionNorm:
    case StepTensor::kFfnNorm:
      break;
  }
  return {hidden, 0.1f, 1, of_tensor};
}

std::vector<float> RopeTable(const StepShape& shape, int positions) {
  const int half = shape.head_dim / 2;
  std::vector<float> table(static_cast<size_t>(positions) * shape.head_dim);
  for (int i = 0; i < half; ++i) {
    const double frequency = std::pow(static_cast<double>(shape.rope_theta), -static_cast<double>(i) / half);
    for (int position = 0; position < positions; ++position) {
      float* row = table.data() + static_cast<size_t>(position) * shape.head_dim;
      row[i] = static_cast<float>(std::cos(position * frequency));
      row[half + i] = static_cast<float>(std::sin(position * frequency));
    }
  }
  return table;
}

void FillGenerated(Stream& stream, uint16_t* to, const TensorSpec& spec) {
  constexpr int kMostBlocks = 2048;
  const size_t blocks =
      (spec.elements + FillGeneratedKernel::kThreads * 8 - 1) / (FillGeneratedKernel::kThreads * 8);
  Launch<FillGeneratedKernel>(stream, {.x = blocks < kMostBlocks ? static_cast<int>(blocks) : kMostBlocks}, 0,
                              {to, spec.elements, spec.seed, spec.deviation});
}

GeneratedModel::GeneratedModel(Stream& stream, const StepShape& shape, int positions, uint32_t seed)
    : stream_(stream), shape_(shape), seed_(seed) {
  weights_.embedding = Matrix(StepTensor::kEmbedding, 0);
  weights_.lm_head = Matrix(StepTensor::kLmHead, 0);
  weights_.final_norm = Vector(StepTensor::kFinalNorm, 0);
  const std::vector<float> table = RopeTable(shape, positions);
  vectors_.emplace_back(stream, table.size());
  vectors_.back().Upload(stream, table, "numbers of RoPE's table");
  weights_.rope_table = vectors_.back().data();
  weights_.positions = positions;
  error_ = stream.Synchronize();
  for (int layer = 0; layer < shape.layers && error_.empty(); ++layer) {
    if (!AddLayer(layer)) error_ = "layer " + std::to_string(layer) + ": " + error_;
  }
}

bool GeneratedModel::AddLayer(int layer) {
  weights_.layers.push_back({.attention_norm = Vector(StepTensor::kAttentionNorm, layer),
                             .qkv = Matrix(StepTensor::kQkv, layer),
                             .qkv_bias = Vector(StepTensor::kQkvBias, layer),
                             .o = Matrix(StepTensor::kO, layer),
                             .ffn_norm = Vector(StepTensor::kFfnNorm, layer),
                             .gate_up = Matrix(StepTensor::kGateUp, layer),
                             .down = Matrix(StepTensor::kDown, layer)});
  error_ = stream_.Synchronize();
  return error_.empty();
}

const uint16_t* GeneratedModel::Matrix(StepTensor tensor, int layer) {
  const TensorSpec spec = SpecOf(shape_, tensor, layer, seed_);
  const DeviceArray<uint16_t>& matrix = matrices_.emplace_back(stream_, spec.elements);
  if (matrix.size() > 0) FillGenerated(stream_, matrix.data(), spec);
  return matrix.data();
}

const float* GeneratedModel::Vector(StepTensor tensor, int layer) {
  const TensorSpec spec = SpecOf(shape_, tensor, layer, seed_);
  std::vector<float> values;
  values.reserve(spec.elements);
  for (size_t i = 0; i < spec.elements; ++i) values.push_back(spec.At(i));
  const DeviceArray<float>& vector = vectors_.emplace_back(stream_, values.size());
  vector.Upload(stream_, values, "numbers");
  return vector.data();
}

}  // namespace quire::kernels::cuda
