#include "kernels/cuda/step/testing/lt_gemms.h"

#include "kernels/cuda/gemm/tree_sum.h"

namespace quire::kernels::cuda {

LtGemms::LtGemms(LtProducts& lt, Stream& stream, const DeviceSize& device, SharedSums shared, int n_tree)
    : lt_(lt), shared_(shared), skinny_(device) {
  if (shared == SharedSums::kTree) {
    leaves_f32_ = DeviceArray<float>(stream, static_cast<size_t>(kSkinnyLeaves) * kLeafRows * n_tree);
  }
}

void LtGemms::Run(Stream& stream, const StepGemm& gemm, Order order) {
  const bool tree = gemm.leaves > 1 && shared_ == SharedSums::kTree;
  if (gemm.bias != nullptr) return stream.Record("a step's products have no bias: RoPE adds it");
  if (gemm.m <= (tree ? kSkinnyMaxRows : kOwnRows)) return skinny_.Run(stream, gemm, order);
  if (tree) return RunTree(stream, gemm);
  RunLt(stream, gemm, 1);
}

void LtGemms::RunTree(Stream& stream, const StepGemm& gemm) {
  const bool even = gemm.k % (kSkinnyLeaves * kSkinnyStep) == 0;
  const size_t needed = static_cast<size_t>(kSkinnyLeaves) * kLeafRows * gemm.n;
  if (!even || gemm.y_is_bf16 || gemm.y_stride != gemm.n || needed > leaves_f32_.size())
    return stream.Record("a tree of products takes 8 equal leaves and dense rows of fp32");
  for (int row = 0; row < gemm.m; row += kLeafRows) {
    StepGemm part = gemm;
    part.m = gemm.m - row < kLeafRows ? gemm.m - row : kLeafRows;
    part.x = gemm.x + static_cast<int64_t>(row) * gemm.k;
    part.y = leaves_f32_.data();
    part.k = gemm.k / kSkinnyLeaves;
    RunLt(stream, part, kSkinnyLeaves);
    TreeSum(stream, {leaves_f32_.data(), static_cast<float*>(gemm.y) + static_cast<int64_t>(row) * gemm.n,
                     static_cast<int64_t>(part.m) * gemm.n});
  }
}

void LtGemms::RunLt(Stream& stream, const StepGemm& gemm, int leaves) {
  const std::string error =
      lt_.Run({gemm.weights, gemm.x, gemm.y, gemm.m, gemm.n, gemm.k, gemm.y_stride, leaves, gemm.y_is_bf16},
              stream.handle());
  if (!error.empty()) stream.Record(error);
}

}  // namespace quire::kernels::cuda
