#include "kernels/backend_factory.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/plugin_loader.h"

namespace quire::kernels {
namespace {

absl::StatusOr<const BackendPlugin*> CudaPlugin() {
  const std::string path = BesideProgram("libquire-cuda.so");
  if (path.empty()) return absl::FailedPreconditionError("can't find this program's folder: mount /proc");
  absl::StatusOr<const BackendPlugin*> plugin = LoadPlugin(path);
  if (!absl::IsNotFound(plugin.status())) return plugin;
  return absl::NotFoundError(absl::StrCat("there is no ", path,
                                          ", which is built where nvcc is (scripts/setup --cuda, cmake "
                                          "--preset release, cmake --build --preset release)"));
}

DeviceChoice Cpu(const std::string& reason) {
  DeviceChoice choice;
  choice.reason = reason;
  return choice;
}

// Why a GPU does not serve such a group, or "".
std::string NotOnAGpu(const DeviceDemand& demand) {
  if (demand.host_groups > 1) {
    return absl::StrCat("a host serves one group on GPUs so far, not ", demand.host_groups,
                        ": give --groups 1");
  }
  if (demand.weights != "bf16") {
    return absl::StrCat("a GPU serves bf16 alone so far: leave out --weights ", demand.weights);
  }
  return "";
}

absl::StatusOr<DeviceChoice> FindGpu(const DeviceDemand& demand) {
  QUIRE_ASSIGN_OR_RETURN(const BackendPlugin* const plugin, CudaPlugin());
  if (const std::string why = plugin->why_not(demand); !why.empty()) return absl::UnavailableError(why);
  return plugin->find(demand);
}

}  // namespace

absl::StatusOr<DeviceChoice> ChooseDevice(const DeviceDemand& demand) {
  if (demand.backend == "cpu") return Cpu("asked for");
  const bool automatic = demand.backend == "auto";
  if (!automatic && demand.backend != "cuda") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown backend \"", demand.backend, "\": give --backend auto, cpu or cuda"));
  }
  if (const std::string why = NotOnAGpu(demand); !why.empty()) {
    if (automatic) return Cpu(why);
    return absl::InvalidArgumentError(absl::StrCat("--backend cuda: ", why));
  }
  absl::StatusOr<DeviceChoice> gpu = FindGpu(demand);
  if (gpu.ok()) return gpu;
  const std::string why = MessageOf(gpu.status());
  if (!automatic) return absl::FailedPreconditionError(absl::StrCat("--backend cuda: ", why));
  // A library that is there and does not fit is a mistake that would cost a GPU unseen.
  if (absl::IsUnavailable(gpu.status()) || absl::IsNotFound(gpu.status())) return Cpu(why);
  return absl::FailedPreconditionError(absl::StrCat(why, "; --backend cpu does without"));
}

std::string IsaFor(const std::string& weights, const std::string& isa) {
  return weights == "int8" && isa == "auto" ? "vectors" : isa;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options) {
  if (options.device != "cpu") {
    return absl::InvalidArgumentError(absl::StrCat("unknown device \"", options.device, "\""));
  }
  return cpu::MakeCpuBackend(options.threads, options.spin_us, options.isa);
}

absl::StatusOr<Device> MakeDevice(const BackendOptions& options, Rendezvous& rendezvous) {
  if (options.device == "cuda") {
    QUIRE_ASSIGN_OR_RETURN(const BackendPlugin* const plugin, CudaPlugin());
    return plugin->make(options, rendezvous);
  }
  Device device;
  QUIRE_ASSIGN_OR_RETURN(device.backend, MakeBackend(options));
  QUIRE_ASSIGN_OR_RETURN(device.communicator, rendezvous.HostCommunicator());
  return device;
}

}  // namespace quire::kernels
