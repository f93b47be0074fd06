#include "kernels/cuda/step/testing/step_reference.h"

#include <cmath>

#include "kernels/bf16.h"
#include "kernels/cuda/step/testing/generated_model.h"

namespace quire::kernels::cuda {
namespace {

using Row = std::vector<double>;

double Bf16(double x) { return kernels::Bf16ToFloat(kernels::FloatToBf16(static_cast<float>(x))); }

class Reference {
 public:
  Reference(const StepShape& shape, uint32_t seed) : shape_(shape), seed_(seed) {}

  Row Logits(std::span<const int32_t> ids) {
    const Row embedding = Tensor(StepTensor::kEmbedding, 0, true);
    std::vector<Row> x;
    for (const int32_t id : ids) {
      const auto from = embedding.begin() + static_cast<int64_t>(id) * shape_.hidden;
      x.emplace_back(from, from + shape_.hidden);
    }
    for (int layer = 0; layer < shape_.layers; ++layer) RunLayer(layer, x);
    const Row normed = Norm(x.back(), Tensor(StepTensor::kFinalNorm, 0, false));
    return Multiply(Tensor(StepTensor::kLmHead, 0, true), normed);
  }

 private:
  Row Tensor(StepTensor tensor, int layer, bool matrix) const {
    const TensorSpec spec = SpecOf(shape_, tensor, layer, seed_);
    Row values;
    for (size_t i = 0; i < spec.elements; ++i) values.push_back(matrix ? Bf16(spec.At(i)) : spec.At(i));
    return values;
  }

  static Row Multiply(const Row& matrix, const Row& x) {
    Row y(matrix.size() / x.size());
    for (size_t i = 0; i < y.size(); ++i) {
      for (size_t j = 0; j < x.size(); ++j) y[i] += matrix[i * x.size() + j] * x[j];
    }
    return y;
  }

  Row Norm(const Row& x, const Row& weight) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + shape_.norm_eps);
    Row out;
    for (size_t i = 0; i < x.size(); ++i) out.push_back(Bf16(x[i] * scale * weight[i]));
    return out;
  }

  // Rotates a head in place.
  void Rotate(double* head, int position) const {
    const int half = shape_.head_dim / 2;
    for (int i = 0; i < half; ++i) {
      const double angle =
          position * std::pow(static_cast<double>(shape_.rope_theta), -static_cast<double>(i) / half);
      const double low = head[i], high = head[half + i];
      head[i] = low * std::cos(angle) - high * std::sin(angle);
      head[half + i] = high * std::cos(angle) + low * std::sin(angle);
    }
  }

  // q, k and v of a row: biased, rotated, rounded.
  Row Qkv(const Row& matrix, const Row& bias, const Row& normed, int position) const {
    Row qkv = Multiply(matrix, normed);
    for (size_t i = 0; i < qkv.size(); ++i) qkv[i] += bias[i];
    for (int head = 0; head < shape_.query_heads + shape_.kv_heads; ++head)
      Rotate(qkv.data() + head * shape_.head_dim, position);
    for (double& v : qkv) v = Bf16(v);
    return qkv;
  }

  // Of the last of `qkv`'s positions.
  Row Attend(std::span<const Row> qkv) const {
    const int dim = shape_.head_dim;
    Row out(shape_.QWidth());
    for (int head = 0; head < shape_.query_heads; ++head) {
      const int key_at = (shape_.query_heads + head / shape_.Group()) * dim;
      const int value_at = key_at + shape_.kv_heads * dim;
      Row weights;
      double highest = -HUGE_VAL, sum = 0;
      for (const Row& key : qkv) {
        double score = 0;
        for (int i = 0; i < dim; ++i) score += qkv.back()[head * dim + i] * key[key_at + i];
        weights.push_back(score / std::sqrt(static_cast<double>(dim)));
        highest = std::max(highest, weights.back());
      }
      for (double& weight : weights) sum += weight = std::exp(weight - highest);
      for (int i = 0; i < dim; ++i) {
        for (size_t key = 0; key < qkv.size(); ++key)
          out[head * dim + i] += weights[key] * qkv[key][value_at + i];
        out[head * dim + i] = Bf16(out[head * dim + i] / sum);
      }
    }
    return out;
  }

  Row Activated(const Row& gate_up) const {
    Row out;
    for (int i = 0; i < shape_.ffn; ++i) {
      const double gate = Bf16(gate_up[i]), up = Bf16(gate_up[shape_.ffn + i]);
      out.push_back(Bf16(gate / (1 + std::exp(-gate)) * up));
    }
    return out;
  }

  void RunLayer(int layer, std::vector<Row>& x) const {
    const Row attention_norm = Tensor(StepTensor::kAttentionNorm, layer, false);
    const Row qkv_matrix = Tensor(StepTensor::kQkv, layer, true);
    const Row bias = Tensor(StepTensor::kQkvBias, layer, false), o = Tensor(StepTensor::kO, layer, true);
    const Row ffn_norm = Tensor(StepTensor::kFfnNorm, layer, false);
    const Row gate_up = Tensor(StepTensor::kGateUp, layer, true),
              down = Tensor(StepTensor::kDown, layer, true);
    std::vector<Row> qkv;
    for (size_t token = 0; token < x.size(); ++token)
      qkv.push_back(Qkv(qkv_matrix, bias, Norm(x[token], attention_norm), static_cast<int>(token)));
    for (size_t token = 0; token < x.size(); ++token) {
      Add(x[token], Multiply(o, Attend(std::span(qkv).first(token + 1))));
      Add(x[token], Multiply(down, Activated(Multiply(gate_up, Norm(x[token], ffn_norm)))));
    }
  }
  static void Add(Row& to, const Row& delta) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += delta[i];
  }

  const StepShape& shape_;
  const uint32_t seed_;
};

}  // namespace

std::vector<double> ReferenceLogits(const StepShape& shape, uint32_t seed, std::span<const int32_t> ids) {
  return Reference(shape, seed).Logits(ids);
}

}  // namespace quire::kernels::cuda
