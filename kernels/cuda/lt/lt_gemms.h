// The step's GEMMs of more than 16 rows through cuBLASLt, the others through the decode GEMM. o and down,
// which the decode GEMM sums as leaves and a tree, are one chain here (kChain), or a product for each leaf
// and their tree with the same bits (kTree; up to 32 rows, leaves of unequal length and whatever the library
// has no chain for are the decode GEMM's, whose bits these are). A shape's first product is never captured:
// it chooses. One thread.
#pragma once

#include <functional>

#include "kernels/cuda/lt/lt_product.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/cuda/step/gemm.h"

namespace quire::kernels::cuda {

enum class SharedSums : uint8_t { kChain, kTree };
using LtMultiply = std::function<LtAnswer(Stream&, const LtProduct&)>;

class LtGemms final : public Gemm {
 public:
  LtGemms(LtMultiply multiply, const DeviceSize& device, SharedSums shared);

  void Reserve(Stream& stream, int tree_columns) override;
  void Run(Stream& stream, const StepGemm& gemm, Order order) override;

 private:
  static constexpr int kOwnRows = 16;     // that the library isn't asked for
  static constexpr int kLeafRows = 1024;  // that a tree takes at once

  // False where the library has no chain.
  bool RunTree(Stream& stream, const StepGemm& gemm);
  // gemm.k: of one leaf.
  bool RunLt(Stream& stream, const StepGemm& gemm, int leaves);

  const LtMultiply multiply_;
  const SharedSums shared_;
  SkinnyGemms skinny_;
  DeviceArray<float> leaves_f32_;
};

}  // namespace quire::kernels::cuda
