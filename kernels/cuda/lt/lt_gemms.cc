#include "kernels/cuda/lt/lt_gemms.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/gemm/tree_sum.h"
#include "kernels/cuda/rows.h"

namespace quire::kernels::cuda {
namespace {

bool HasEvenLeaves(const StepGemm& gemm) { return gemm.k % (gemm.leaves * kSkinnyStep) == 0; }

LtProduct Whole(const StepGemm& gemm) {
  return {gemm.weights, gemm.x, gemm.y, {gemm.m, gemm.n, gemm.k, 1, gemm.y_is_bf16, gemm.y_stride}};
}

}  // namespace

LtGemms::LtGemms(std::shared_ptr<LtChoices> library, const DeviceSize& device, SharedSums shared)
    : library_(std::move(library)), shared_(shared), skinny_(device) {}

void LtGemms::Reserve(Stream& stream, int tree_columns) {
  const size_t needed = static_cast<size_t>(kSkinnyLeaves) * kLeafRows * tree_columns;
  if (shared_ == SharedSums::kTree && needed > leaves_f32_.size()) {
    leaves_f32_ = DeviceArray<float>(stream, needed);
  }
}

bool LtGemms::IsAsked(const StepGemm& gemm) const {
  if (!IsTree(gemm)) return gemm.m > kOwnRows;
  return gemm.m > kSkinnyMaxRows && HasEvenLeaves(gemm) && !gemm.y_is_bf16 && gemm.y_stride == gemm.n &&
         gemm.n % 4 == 0;
}

void LtGemms::Choose(Stream& stream, std::span<const StepGemm> gemms) {
  for (const StepGemm& gemm : gemms) {
    if (IsAsked(gemm) && IsTree(gemm)) Reserve(stream, gemm.n);
  }
  std::vector<LtProduct> products;
  for (const StepGemm& gemm : gemms) {
    if (!IsAsked(gemm)) continue;
    if (!IsTree(gemm)) {
      products.push_back(Whole(gemm));
      continue;
    }
    for (int row = 0; row < gemm.m; row += kLeafRows) products.push_back(Leaves(gemm, row));
  }
  library_->Choose(stream, products);
}

void LtGemms::Run(Stream& stream, const StepGemm& gemm, Order order) {
  if (!IsAsked(gemm) || !(IsTree(gemm) ? RunTree(stream, gemm) : RunLt(stream, Whole(gemm)))) {
    return skinny_.Run(stream, gemm, order);
  }
  if (gemm.bias == nullptr) return;
  if (gemm.y_is_bf16) return stream.Record("a bias is added to fp32");
  AddBias(stream, gemm.m, {static_cast<float*>(gemm.y), gemm.bias, gemm.n, gemm.y_stride});
}

LtProduct LtGemms::Leaves(const StepGemm& gemm, int first_row) const {
  const int rows = std::min(gemm.m - first_row, kLeafRows);
  return {gemm.weights,
          gemm.x + static_cast<int64_t>(first_row) * gemm.k,
          leaves_f32_.data(),
          {rows, gemm.n, gemm.k / gemm.leaves, gemm.leaves, false, gemm.n}};
}

bool LtGemms::RunTree(Stream& stream, const StepGemm& gemm) {
  Reserve(stream, gemm.n);  // for whoever has not
  for (int row = 0; row < gemm.m; row += kLeafRows) {
    const LtProduct part = Leaves(gemm, row);
    if (!RunLt(stream, part)) return false;
    TreeSum(stream, gemm.leaves,
            {leaves_f32_.data(), static_cast<float*>(gemm.y) + static_cast<int64_t>(row) * gemm.n,
             static_cast<int64_t>(part.shape.m) * gemm.n});
  }
  return true;
}

bool LtGemms::RunLt(Stream& stream, const LtProduct& product) {
  const LtAnswer answer = library_->Run(stream, product);
  if (answer == LtAnswer::kFailed) stream.Record(std::string("cuBLASLt could not multiply"));
  return answer != LtAnswer::kNoChain;
}

}  // namespace quire::kernels::cuda
