#include "base/core/status.h"
#include "kernels/backend_factory.h"
#include "tests/golden/cuda_model.h"

namespace quire::golden {
namespace {

// All ranks on the first GPU.
absl::StatusOr<kernels::Device> MakeOnFirst(kernels::Rendezvous& rendezvous, bool apart) {
  QUIRE_ASSIGN_OR_RETURN(
      const kernels::DeviceChoice choice,
      kernels::ChooseDevice({.backend = "cuda", .hidden = 128, .ffn = 128, .head_dim = 64}));
  return kernels::MakeDevice(
      {.device = choice.name, .gpu = 0, .gpu_ranks = rendezvous.size(), .apart = apart}, rendezvous);
}

absl::StatusOr<kernels::Device> Make(kernels::Rendezvous& rendezvous) {
  return MakeOnFirst(rendezvous, false);
}

DeviceMaker MakeApart(int) {
  return [](kernels::Rendezvous& rendezvous) { return MakeOnFirst(rendezvous, true); };
}

}  // namespace

const TestedDevice kTested{&Make, &MakeApart, 120};  // more than the decode GEMM takes at once

}  // namespace quire::golden
