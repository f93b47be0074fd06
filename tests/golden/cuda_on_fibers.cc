#include "kernels/cuda/backend/cuda_backend.h"
#include "tests/golden/cuda_model.h"

namespace quire::golden {
namespace {

absl::StatusOr<kernels::Device> Make(kernels::Rendezvous& rendezvous) {
  constexpr kernels::cuda::DeviceSize kDevice{2, kernels::cuda::kSharedBytesSm80};
  return kernels::cuda::MakeCudaDevice(std::make_unique<kernels::cuda::Stream>(1, kDevice),
                                       std::make_unique<kernels::cuda::SkinnyGemms>(kDevice), "fibers",
                                       rendezvous);
}

}  // namespace

const TestedDevice kTested{&Make, 21};

}  // namespace quire::golden
