#include "kernels/cuda/lt/lt_gemms.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/gemm/tree_sum.h"
#include "kernels/cuda/rows.h"

namespace quire::kernels::cuda {
namespace {

bool HasEvenLeaves(const StepGemm& gemm) { return gemm.k % (gemm.leaves * kSkinnyStep) == 0; }

}  // namespace

LtGemms::LtGemms(LtMultiply multiply, const DeviceSize& device, SharedSums shared)
    : multiply_(std::move(multiply)), shared_(shared), skinny_(device) {}

void LtGemms::Reserve(Stream& stream, int tree_columns) {
  const size_t needed = static_cast<size_t>(kSkinnyLeaves) * kLeafRows * tree_columns;
  if (shared_ == SharedSums::kTree && needed > leaves_f32_.size()) {
    leaves_f32_ = DeviceArray<float>(stream, needed);
  }
}

void LtGemms::Run(Stream& stream, const StepGemm& gemm, Order order) {
  const bool tree = gemm.leaves > 1 && shared_ == SharedSums::kTree;
  const bool own = gemm.m <= (tree ? kSkinnyMaxRows : kOwnRows) || (tree && !HasEvenLeaves(gemm));
  if (own || !(tree ? RunTree(stream, gemm) : RunLt(stream, gemm, 1))) {
    return skinny_.Run(stream, gemm, order);
  }
  if (gemm.bias == nullptr) return;
  if (gemm.y_is_bf16) return stream.Record("a bias is added to fp32");
  AddBias(stream, gemm.m, {static_cast<float*>(gemm.y), gemm.bias, gemm.n, gemm.y_stride});
}

bool LtGemms::RunTree(Stream& stream, const StepGemm& gemm) {
  if (gemm.y_is_bf16 || gemm.y_stride != gemm.n || gemm.n % 4 != 0) return false;
  Reserve(stream, gemm.n);  // for whoever has not
  for (int row = 0; row < gemm.m; row += kLeafRows) {
    StepGemm part = gemm;
    part.m = std::min(gemm.m - row, kLeafRows);
    part.x = gemm.x + static_cast<int64_t>(row) * gemm.k;
    part.y = leaves_f32_.data();
    part.k = gemm.k / gemm.leaves;
    if (!RunLt(stream, part, gemm.leaves)) return false;
    TreeSum(stream, gemm.leaves,
            {leaves_f32_.data(), static_cast<float*>(gemm.y) + static_cast<int64_t>(row) * gemm.n,
             static_cast<int64_t>(part.m) * gemm.n});
  }
  return true;
}

bool LtGemms::RunLt(Stream& stream, const StepGemm& gemm, int leaves) {
  const LtAnswer answer = multiply_(
      stream, {gemm.weights, gemm.x, gemm.y, gemm.m, gemm.n, gemm.k, gemm.y_stride, leaves, gemm.y_is_bf16});
  if (answer == LtAnswer::kFailed) stream.Record(std::string("cuBLASLt could not multiply"));
  return answer != LtAnswer::kNoChain;
}

}  // namespace quire::kernels::cuda
