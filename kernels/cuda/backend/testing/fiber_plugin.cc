// The library of GPUs whose kernels run on fibers: how a worker finds, opens and uses them is tested with it
// (tests/e2e/test_backend.py, test_gpu_groups.py). QUIRE_TEST_GPU says which there are: none; a number, of 1
// GiB each, else 8; apart: those don't reach one another; of a list ("1024,full,silent,lost") each is so many
// MiB, or 1 GiB that others hold, or does not answer, or is none that CUDA lists; @FILE: what the file says
// now. CUDA_VISIBLE_DEVICES hides them as CUDA does.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/backend_plugin.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/gpu_choice.h"
#include "kernels/cuda/lt/lt_cache_file.h"
#include "kernels/cuda/lt/lt_gemms.h"
#include "kernels/cuda/lt/testing/fake_lt.h"

namespace quire::kernels {
namespace {

std::string FromEnvironment(const char* name) {
  const char* given = std::getenv(name);
  return given == nullptr ? "" : given;
}

std::string Told() {
  std::string told = FromEnvironment("QUIRE_TEST_GPU");
  if (!absl::StartsWith(told, "@")) return told;
  std::ifstream file(told.substr(1));
  std::getline(file, told);
  return told;
}

struct FiberGpu {
  std::string id;
  int64_t mib = 1024;  // 0: it does not answer
  bool full = false;
};

bool IsHidden(size_t number, const std::string& id) {
  const std::string visible = FromEnvironment("CUDA_VISIBLE_DEVICES");
  if (visible.empty()) return false;
  const std::vector<std::string> shown = absl::StrSplit(visible, ',');
  return std::none_of(shown.begin(), shown.end(), [&](const std::string& one) {
    return one == absl::StrCat(number) || absl::StartsWith(id, one);
  });
}

std::vector<FiberGpu> FiberGpus() {
  const std::string told = Told();
  int count = 0;
  std::vector<std::string> each(absl::SimpleAtoi(told, &count) ? static_cast<size_t>(count) : 8, "1024");
  if (absl::StrContains(told, ',') || told == "full") each = absl::StrSplit(told, ',');
  std::vector<FiberGpu> gpus;
  for (size_t i = 0; i < each.size(); ++i) {
    FiberGpu gpu{absl::StrCat("GPU-f1be-", absl::Dec(i, absl::kZeroPad2))};
    if (each[i] == "lost" || IsHidden(i, gpu.id)) continue;
    gpu.full = each[i] == "full";
    if (!gpu.full && !absl::SimpleAtoi(each[i], &gpu.mib)) gpu.mib = 0;
    gpus.push_back(gpu);
  }
  return gpus;
}

absl::StatusOr<std::vector<std::string>> List() {
  std::vector<std::string> ids;
  for (const FiberGpu& gpu : FiberGpus()) ids.push_back(gpu.id);
  if (Told() == "none" || ids.empty()) return absl::UnavailableError("no NVIDIA GPU is here");
  return ids;
}

absl::StatusOr<DeviceChoice> Find(int index) {
  const FiberGpu gpu = FiberGpus()[static_cast<size_t>(index)];
  if (gpu.mib == 0) return absl::UnavailableError("it does not answer");
  DeviceChoice choice;
  choice.name = "cuda";
  choice.product = choice.architecture = "fibers";
  choice.memory_bytes = gpu.mib << 20;
  choice.free_bytes = gpu.full ? choice.memory_bytes / 100 : choice.memory_bytes;
  choice.scratch = cuda::kScratch;
  return choice;
}

// The decode GEMM's chain in cuBLASLt's place.
std::unique_ptr<cuda::Gemm> MakeGemms(const cuda::DeviceSize& device, const std::string& matmul_cache) {
  const auto lt = std::make_shared<cuda::FakeLt>();
  cuda::LtCalls calls = lt->Calls();
  calls.open = [lt, open = calls.open](const cuda::LtShape& shape) { return open(shape); };
  auto options = cuda::LoggedChoices(matmul_cache, {"fibers", "8.0", 13000, calls.version});
  return std::make_unique<cuda::LtGemms>(
      std::make_shared<cuda::LtChoices>(std::move(calls), std::move(options)), device,
      cuda::SharedSums::kTree);
}

absl::StatusOr<Device> Make(const BackendOptions& options, Rendezvous& rendezvous) {
  constexpr cuda::DeviceSize kDevice{2, cuda::kSharedBytesSm80};
  cuda::PeerOptions peers;
  peers.apart = Told() == "apart";
  return cuda::MakeCudaDevice(std::make_unique<cuda::Stream>(1, kDevice),
                              MakeGemms(kDevice, options.matmul_cache), "fibers", rendezvous, peers, {},
                              options.threads);
}

constexpr BackendPlugin kPlugin{QUIRE_BACKEND_BUILD, &cuda::WhyNotServed, &List, &Find, &Make};

}  // namespace
}  // namespace quire::kernels

extern "C" const quire::kernels::BackendPlugin* QuireBackendPlugin() { return &quire::kernels::kPlugin; }
