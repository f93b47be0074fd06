// The library of a GPU whose kernels run on fibers: how a worker finds, opens and uses one is tested with it
// (tests/e2e/test_backend.py). QUIRE_TEST_GPU=none: a machine without a device; full: one that others fill.
#include <cstdlib>
#include <string_view>

#include "kernels/backend_plugin.h"
#include "kernels/cuda/backend/cuda_backend.h"

namespace quire::kernels {
namespace {

constexpr int64_t kMemoryBytes = int64_t{1} << 30;

absl::StatusOr<DeviceChoice> Find() {
  const char* given = std::getenv("QUIRE_TEST_GPU");
  const std::string_view told = given == nullptr ? "" : given;
  if (told == "none") return absl::UnavailableError("no NVIDIA GPU is here");
  DeviceChoice choice;
  choice.name = "cuda";
  choice.reason = "fibers";
  choice.memory_bytes = kMemoryBytes;
  choice.free_bytes = told == "full" ? kMemoryBytes / 100 : kMemoryBytes;
  choice.scratch = cuda::kScratch;
  return choice;
}

absl::StatusOr<std::unique_ptr<Backend>> Make(const BackendOptions&) {
  constexpr cuda::DeviceSize kDevice{2, cuda::kSharedBytesSm80};
  return cuda::MakeCudaBackend(cuda::Stream(1, kDevice), std::make_unique<cuda::SkinnyGemms>(kDevice),
                               "fibers");
}

constexpr BackendPlugin kPlugin{QUIRE_BACKEND_BUILD, &cuda::WhyNotServed, &Find, &Make};

}  // namespace
}  // namespace quire::kernels

extern "C" const quire::kernels::BackendPlugin* QuireBackendPlugin() { return &quire::kernels::kPlugin; }
