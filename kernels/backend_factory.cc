#include "kernels/backend_factory.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/gpu_names.h"
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

absl::Status CheckName(const DeviceDemand& demand) {
  if (demand.backend != "cpu" && demand.backend != "auto" && demand.backend != "cuda") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown backend \"", demand.backend, "\": give --backend auto, cpu or cuda"));
  }
  if (demand.backend != "cpu" || demand.gpus.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("--gpus is for --backend cuda or auto");
}

// The library of GPUs, and what they are called.
struct FoundGpus {
  const BackendPlugin* plugin;
  std::vector<std::string> ids;
  std::vector<int> named;

  absl::StatusOr<DeviceChoice> Find(int index) const {
    QUIRE_ASSIGN_OR_RETURN(DeviceChoice choice, plugin->find(index));
    choice.index = index;
    choice.id = ids[static_cast<size_t>(index)];
    choice.reason = absl::StrCat(choice.product, ", number ", index, " of ", ids.size(), ", ", choice.id);
    return choice;
  }
};

absl::StatusOr<FoundGpus> FindGpus(const DeviceDemand& demand) {
  if (demand.weights != "bf16") {
    return absl::UnavailableError(
        absl::StrCat("a GPU serves bf16 alone so far: leave out --weights ", demand.weights));
  }
  FoundGpus found;
  QUIRE_ASSIGN_OR_RETURN(found.plugin, CudaPlugin());
  if (const std::string why = found.plugin->why_not(demand); !why.empty()) return absl::UnavailableError(why);
  QUIRE_ASSIGN_OR_RETURN(found.ids, found.plugin->list());
  QUIRE_ASSIGN_OR_RETURN(found.named, NamedGpus(found.ids, demand.gpus));
  return found;
}

absl::StatusOr<DeviceChoice> FindGpuOfRank(const DeviceDemand& demand) {
  if (demand.host_groups > 1 && demand.gpus.empty()) {
    return absl::UnavailableError("groups that share a host have GPUs of their own: give each its --gpus");
  }
  QUIRE_ASSIGN_OR_RETURN(const FoundGpus found, FindGpus(demand));
  if (demand.ranks_here > std::ssize(found.named)) {
    return absl::UnavailableError(
        absl::StrCat("a group of ", demand.ranks_here, " ranks on this host takes as many GPUs, and ",
                     demand.gpus.empty() ? "there are " : "--gpus names ", found.named.size()));
  }
  return found.Find(found.named[static_cast<size_t>(demand.rank_here)]);
}

}  // namespace

absl::StatusOr<DeviceChoice> ChooseDevice(const DeviceDemand& demand) {
  QUIRE_RETURN_IF_ERROR(CheckName(demand));
  if (demand.backend == "cpu") return Cpu("asked for");
  absl::StatusOr<DeviceChoice> gpu = FindGpuOfRank(demand);
  return gpu.ok() ? gpu : WithoutGpu(demand.backend, gpu.status());
}

absl::StatusOr<std::vector<DeviceChoice>> ListGpus(const DeviceDemand& demand) {
  QUIRE_RETURN_IF_ERROR(CheckName(demand));
  if (demand.backend == "cpu") return absl::UnavailableError("asked for");
  QUIRE_ASSIGN_OR_RETURN(const FoundGpus found, FindGpus(demand));
  std::vector<DeviceChoice> gpus;
  for (const int index : found.named) {
    absl::StatusOr<DeviceChoice> gpu = found.Find(index);
    if (gpu.ok()) {
      gpus.push_back(*std::move(gpu));
      continue;
    }
    DeviceChoice& unusable = gpus.emplace_back();
    unusable.index = index;
    unusable.id = found.ids[static_cast<size_t>(index)];
    unusable.why_not = MessageOf(gpu.status());
  }
  return gpus;
}

absl::StatusOr<DeviceChoice> WithoutGpu(const std::string& backend, const absl::Status& why) {
  if (absl::IsInvalidArgument(why)) return why;
  const std::string text = MessageOf(why);
  if (backend == "cpu") return Cpu(text);
  if (backend == "cuda") return absl::FailedPreconditionError(absl::StrCat("--backend cuda: ", text));
  // A library that is there and does not fit is a mistake that would cost a GPU unseen.
  if (absl::IsUnavailable(why) || absl::IsNotFound(why)) return Cpu(text);
  return absl::FailedPreconditionError(absl::StrCat(text, "; --backend cpu does without"));
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
