#include "kernels/cuda/step/gemm.h"

#include "kernels/cuda/gemm/skinny_gemm_launch.h"

namespace quire::kernels::cuda {
namespace {

template <typename Out>
void RunAs(Stream& stream, const StepGemm& gemm, const DeviceSize& device, Order order) {
  for (int row = 0; row < gemm.m; row += kSkinnyMaxRows) {
    const int m = gemm.m - row < kSkinnyMaxRows ? gemm.m - row : kSkinnyMaxRows;
    const SkinnyGemmParams<Out> params{gemm.weights,
                                       gemm.x + static_cast<int64_t>(row) * gemm.k,
                                       static_cast<Out*>(gemm.y) + row * gemm.y_stride,
                                       gemm.bias,
                                       m,
                                       gemm.n,
                                       gemm.k,
                                       gemm.k,
                                       gemm.k,
                                       gemm.y_stride};
    LaunchSkinnyGemm(stream, params, gemm.leaves, device, order);
  }
}

}  // namespace

void SkinnyGemms::Run(Stream& stream, const StepGemm& gemm, Order order) {
  if (gemm.y_is_bf16) {
    RunAs<uint16_t>(stream, gemm, device_, order);
  } else {
    RunAs<float>(stream, gemm, device_, order);
  }
}

}  // namespace quire::kernels::cuda
