// libquire-cuda.so: the CUDA backend as a worker opens it (kernels/backend_plugin.h). The CUDA runtime is
// linked in; the driver, cuBLASLt and NCCL are found when it runs.
#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "base/core/status.h"
#include "kernels/backend_plugin.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/gpu_choice.h"
#include "kernels/cuda/collective/nccl_library.h"
#include "kernels/cuda/lt/lt_cache_file.h"
#include "kernels/cuda/lt/lt_gemms.h"
#include "kernels/cuda/lt/lt_products.h"
#include "kernels/cuda/rows.h"

namespace quire::kernels {
namespace {

constexpr int kOldestMajor = 8;  // sm_80

absl::Status Refused(const std::string& why) { return absl::UnavailableError(why); }

std::string Architecture(const cudaDeviceProp& device) {
  return "sm" + std::to_string(device.major) + std::to_string(device.minor);
}

absl::Status CheckDriver(int* count) {
  const cudaError_t error = cudaGetDeviceCount(count);
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    if (driver == 0) return Refused("no NVIDIA driver is loaded");
    return Refused("the NVIDIA driver is for CUDA " + std::to_string(driver / 1000) + "." +
                   std::to_string(driver % 1000 / 10) + ", and this build is for CUDA " +
                   std::to_string(CUDART_VERSION / 1000) + ": install a newer driver");
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && *count == 0)) {
    return Refused("no NVIDIA GPU is here (or CUDA_VISIBLE_DEVICES hides it)");
  }
  if (error != cudaSuccess) return Refused(std::string("CUDA does not start: ") + cudaGetErrorString(error));
  return absl::OkStatus();
}

std::string CapabilityOf(const cudaDeviceProp& device) {
  return std::to_string(device.major) + "." + std::to_string(device.minor);
}

// Whether this library holds code for the device that is in use, whose blocks may have what kernels need.
absl::Status CheckCode(const cudaDeviceProp& device) {
  cudaFuncAttributes attributes = {};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, cuda::RunKernel<cuda::GatherRowsKernel>);
  if (error == cudaSuccess && device.major >= kOldestMajor) {
    if (device.sharedMemPerBlockOptin >= static_cast<size_t>(cuda::kSharedBytesSm80)) return absl::OkStatus();
    return Refused(std::string(device.name) + " has " + std::to_string(device.sharedMemPerBlockOptin >> 10) +
                   " KiB of shared memory for a block, and the kernels need " +
                   std::to_string(cuda::kSharedBytesSm80 >> 10) + ": an A100, an H100 or a larger one has");
  }
  (void)cudaGetLastError();
  return Refused(std::string(device.name) + " is of compute capability " + CapabilityOf(device) +
                 ", for which this build has no code" +
                 (device.major < kOldestMajor ? ": it starts with 8.0" : ""));
}

// Asking for properties makes no context, and so takes no memory of a GPU that is another group's.
absl::StatusOr<std::vector<std::string>> List() {
  int count = 0;
  if (absl::Status driver = CheckDriver(&count); !driver.ok()) return driver;
  std::vector<std::string> ids;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp device = {};
    const bool answers = cudaGetDeviceProperties(&device, index) == cudaSuccess;
    ids.push_back(answers ? cuda::GpuId(device.uuid.bytes) : "");
  }
  return ids;
}

absl::StatusOr<DeviceChoice> Find(int index) {
  cudaDeviceProp device = {};
  size_t free = 0, total = 0;
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&device, index);
  if (error == cudaSuccess) error = cudaMemGetInfo(&free, &total);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    return Refused("the GPU number " + std::to_string(index) +
                   " does not answer: " + cudaGetErrorString(error));
  }
  if (absl::Status code = CheckCode(device); !code.ok()) return code;
  std::string why;
  if (!cuda::LtIsThere(&why)) {
    return Refused("cuBLASLt 13 (libcublasLt.so.13) is not to be had: " + why);
  }
  DeviceChoice choice;
  choice.name = "cuda";
  choice.product = device.name;
  choice.architecture = Architecture(device);
  choice.memory_bytes = static_cast<int64_t>(total);
  choice.free_bytes = static_cast<int64_t>(free);
  choice.scratch = cuda::kScratch;
  return choice;
}

// The library on this stream, whose choices are kept in that folder, where there is one.
absl::StatusOr<std::shared_ptr<cuda::LtChoices>> OpenChoices(const cudaDeviceProp& device,
                                                             const std::string& folder) {
  std::string why;
  cuda::LtCalls calls = cuda::OpenLt([](cuda::Stream& stream) { return stream.handle(); }, &why);
  if (!calls.open) return absl::FailedPreconditionError("cuBLASLt 13 is not to be had: " + why);
  cuda::LtCacheKey key{.device = device.name, .capability = CapabilityOf(device), .library = calls.version};
  (void)cudaDriverGetVersion(&key.driver);
  return std::make_shared<cuda::LtChoices>(std::move(calls), cuda::LoggedChoices(folder, std::move(key)));
}

absl::StatusOr<Device> Make(const BackendOptions& options, Rendezvous& rendezvous) {
  cudaStream_t handle = nullptr;
  cudaError_t error = cudaSetDevice(options.gpu);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    return absl::InternalError(std::string("the GPU gives no stream: ") + cudaGetErrorString(error));
  }
  auto stream = std::make_unique<cuda::Stream>(handle, options.gpu);
  cudaDeviceProp properties = {};
  (void)cudaGetDeviceProperties(&properties, options.gpu);
  QUIRE_ASSIGN_OR_RETURN(const std::shared_ptr<cuda::LtChoices> lt,
                         OpenChoices(properties, options.matmul_cache));
  auto gemms = std::make_unique<cuda::LtGemms>(lt, cuda::ReadDeviceSize(*stream), cuda::SharedSums::kTree);
  if (const std::string wrong = stream->Synchronize(); !wrong.empty()) {
    return absl::InternalError("the GPU: " + wrong);
  }
  // Another architecture, or another library, may sum in another order.
  const std::string where = Architecture(properties) + "-lt" + std::to_string(lt->version());
  cuda::PeerOptions peers;
  peers.most_blocks /= options.gpu_ranks;
  peers.apart = options.apart;
  cuda::NcclOptions nccl;
  nccl.open = &cuda::OpenNcclLibrary;
  // More of them than a few only take turns at the memory.
  const int load_threads = std::min(options.threads, 8);
  return cuda::MakeCudaDevice(std::move(stream), std::move(gemms), where, rendezvous, peers, nccl,
                              load_threads);
}

constexpr BackendPlugin kPlugin{QUIRE_BACKEND_BUILD, &cuda::WhyNotServed, &List, &Find, &Make};

}  // namespace
}  // namespace quire::kernels

extern "C" const quire::kernels::BackendPlugin* QuireBackendPlugin() { return &quire::kernels::kPlugin; }
