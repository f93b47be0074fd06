#include "kernels/cuda/lt/testing/fake_lt.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/gemm/skinny_gemm_launch.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kDevice{2, kSharedBytesSm80};

template <typename Out>
void MultiplyLeaf(Stream& stream, const LtProduct& p, int leaf) {
  const LtShape& s = p.shape;
  const int64_t stride = int64_t{s.k} * s.leaves, from = int64_t{leaf} * s.k;
  for (int row = 0; row < s.m; row += kSkinnyMaxRows) {
    const SkinnyGemmParams<Out> params{static_cast<const uint16_t*>(p.weights) + from,
                                       static_cast<const uint16_t*>(p.x) + from + row * stride,
                                       static_cast<Out*>(p.y) + (int64_t{leaf} * s.m + row) * s.y_stride,
                                       nullptr,
                                       std::min(s.m - row, kSkinnyMaxRows),
                                       s.n,
                                       s.k,
                                       stride,
                                       stride,
                                       s.y_stride};
    LaunchSkinnyGemm(stream, params, 1, kDevice);
  }
}

void Multiply(Stream& stream, const LtProduct& product) {
  for (int leaf = 0; leaf < product.shape.leaves; ++leaf) {
    product.shape.y_is_bf16 ? MultiplyLeaf<uint16_t>(stream, product, leaf)
                            : MultiplyLeaf<float>(stream, product, leaf);
  }
}

}  // namespace

class FakeLt::Operation final : public LtOperation {
 public:
  Operation(FakeLt& lt, const LtShape& shape) : lt_(lt), shape_(shape) {}

  std::vector<LtAlgorithm> Offers() override {
    std::vector<LtAlgorithm> offers;
    for (const LtConfig& config : lt_.offers) offers.push_back({config, {Mark(config)}});
    return offers;
  }
  bool Supports(const LtAlgorithm& algorithm) override {
    return !lt_.unsupported.contains(algorithm.config.tile);
  }
  bool Run(const LtAlgorithm& algorithm, const LtProduct& product, Stream& stream) override {
    if (product.shape != shape_ || algorithm.opaque[0] != Mark(algorithm.config)) {
      stream.Record("an algorithm that was not offered for this shape");
    }
    if (lt_.fails) return false;
    lt_.ran.push_back(algorithm.config);
    if (algorithm.config.id == 66) {
      Multiply(stream, product);
    } else {
      std::memset(product.y, 0xff, 4);
    }
    return true;
  }
  std::optional<double> TimeUs(const LtAlgorithm& algorithm, const LtProduct&, Stream&) override {
    ++lt_.timed;
    const auto said = lt_.us.find(algorithm.config.tile);
    if (said == lt_.us.end()) return 1.0;
    return said->second < 0 ? std::nullopt : std::optional(said->second);
  }

 private:
  // The same tile is another algorithm for another shape.
  uint64_t Mark(const LtConfig& config) const {
    return static_cast<uint64_t>(config.tile) << 32 ^ static_cast<uint64_t>(shape_.m * 31 + shape_.n);
  }

  FakeLt& lt_;
  const LtShape shape_;
};

LtCalls FakeLt::Calls() {
  LtCalls calls;
  calls.version = 130100;
  calls.open = [this](const LtShape& shape) -> std::unique_ptr<LtOperation> {
    ++opened;
    return takes_shapes ? std::make_unique<Operation>(*this, shape) : nullptr;
  };
  calls.is_captured = [](Stream& stream) { return stream.kept_launches() != nullptr; };
  return calls;
}

}  // namespace quire::kernels::cuda
