#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/backend/cuda_backend.h"
#include "tests/cuda/fake_nccl.h"
#include "tests/golden/cuda_model.h"

namespace quire::golden {
namespace {

using kernels::cuda::FakeNccl;

absl::StatusOr<kernels::Device> MakeWith(kernels::Rendezvous& rendezvous,
                                         const kernels::cuda::PeerOptions& peers,
                                         const kernels::cuda::NcclOptions& nccl) {
  constexpr kernels::cuda::DeviceSize kDevice{2, kernels::cuda::kSharedBytesSm80};
  return kernels::cuda::MakeCudaDevice(std::make_unique<kernels::cuda::Stream>(1, kDevice),
                                       std::make_unique<kernels::cuda::SkinnyGemms>(kDevice), "fibers",
                                       rendezvous, peers, nccl);
}

absl::StatusOr<kernels::Device> Make(kernels::Rendezvous& rendezvous) { return MakeWith(rendezvous, {}, {}); }

// A group's NCCL; when its ranks are gone, it was used as NVIDIA's guide says.
struct CheckedNccl {
  explicit CheckedNccl(int ranks) : nccl(ranks) {}
  ~CheckedNccl() {
    EXPECT_THAT(nccl.misuses(), testing::IsEmpty());
    EXPECT_TRUE(nccl.all_aborted());
    EXPECT_GT(nccl.groups(0), 0);
  }
  FakeNccl nccl;
};

DeviceMaker MakeApart(int ranks) {
  const auto shared = std::make_shared<CheckedNccl>(ranks);
  return [shared](kernels::Rendezvous& rendezvous) {
    kernels::cuda::PeerOptions apart;
    apart.apart = true;
    kernels::cuda::NcclOptions nccl;
    nccl.open = [shared, rank = rendezvous.rank()] { return shared->nccl.Of(rank); };
    return MakeWith(rendezvous, apart, nccl);
  };
}

}  // namespace

const TestedDevice kTested{&Make, &MakeApart, 21};

}  // namespace quire::golden
