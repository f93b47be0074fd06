// The step's GEMMs of more than 16 rows through cuBLASLt, the others through the decode GEMM. o and down,
// which the decode GEMM sums as 8 leaves and a tree, are one chain here (kChain), or 8 products and their
// tree with the same bits (kTree; up to 32 rows are the decode GEMM's, whose bits these are). The library
// outlives it. One thread.
#pragma once

#include "kernels/cuda/step/device_array.h"
#include "kernels/cuda/step/gemm.h"
#include "kernels/cuda/step/testing/lt_products.h"

namespace quire::kernels::cuda {

enum class SharedSums : uint8_t { kChain, kTree };

class LtGemms final : public Gemm {
 public:
  // n_tree: the widest y of a tree (the model's hidden size).
  LtGemms(LtProducts& lt, Stream& stream, const DeviceSize& device, SharedSums shared, int n_tree);

  void Run(Stream& stream, const StepGemm& gemm, Order order) override;

 private:
  static constexpr int kOwnRows = 16;     // that the library isn't asked for
  static constexpr int kLeafRows = 1024;  // that a tree takes at once

  void RunTree(Stream& stream, const StepGemm& gemm);
  // gemm.k: of one leaf.
  void RunLt(Stream& stream, const StepGemm& gemm, int leaves);

  LtProducts& lt_;
  const SharedSums shared_;
  SkinnyGemms skinny_;
  DeviceArray<float> leaves_f32_;
};

}  // namespace quire::kernels::cuda
