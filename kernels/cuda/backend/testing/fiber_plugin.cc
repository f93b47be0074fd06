// The library of a GPU whose kernels run on fibers: how a worker finds, opens and uses one is tested with it
// (tests/e2e/test_backend.py). QUIRE_TEST_GPU=none: a machine without a device; full: one that others fill;
// apart: devices that don't reach one another; a number: so many, else 8.
#include <cstdlib>
#include <string>

#include "kernels/backend_plugin.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/gpu_choice.h"

namespace quire::kernels {
namespace {

constexpr int64_t kMemoryBytes = int64_t{1} << 30;

std::string Told() {
  const char* given = std::getenv("QUIRE_TEST_GPU");
  return given == nullptr ? "" : given;
}

absl::StatusOr<DeviceChoice> Find(const DeviceDemand& demand) {
  const std::string told = Told();
  if (told == "none") return absl::UnavailableError("no NVIDIA GPU is here");
  DeviceChoice choice;
  choice.name = "cuda";
  choice.reason = "fibers";
  choice.memory_bytes = kMemoryBytes;
  choice.free_bytes = told == "full" ? kMemoryBytes / 100 : kMemoryBytes;
  choice.scratch = cuda::kScratch;
  const int count = std::atoi(told.c_str());
  choice.count = count > 0 ? count : 8;
  return cuda::OneForEachRank(choice, demand);
}

absl::StatusOr<Device> Make(const BackendOptions&, Rendezvous& rendezvous) {
  constexpr cuda::DeviceSize kDevice{2, cuda::kSharedBytesSm80};
  cuda::PeerOptions peers;
  peers.apart = Told() == "apart";
  return cuda::MakeCudaDevice(std::make_unique<cuda::Stream>(1, kDevice),
                              std::make_unique<cuda::SkinnyGemms>(kDevice), "fibers", rendezvous, peers);
}

constexpr BackendPlugin kPlugin{QUIRE_BACKEND_BUILD, &cuda::WhyNotServed, &Find, &Make};

}  // namespace
}  // namespace quire::kernels

extern "C" const quire::kernels::BackendPlugin* QuireBackendPlugin() { return &quire::kernels::kPlugin; }
