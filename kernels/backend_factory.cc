#include "kernels/backend_factory.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/cpu/cpu_backend.h"

namespace quire::kernels {

std::string IsaFor(const std::string& weights, const std::string& isa) {
  return weights == "int8" && isa == "auto" ? "vectors" : isa;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options) {
  if (options.device != "auto" && options.device != "cpu") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown device \"", options.device, "\"; this build has auto and cpu"));
  }
  return cpu::MakeCpuBackend(options.threads, options.spin_us, options.isa);
}

absl::StatusOr<Device> MakeDevice(const BackendOptions& options, Rendezvous& rendezvous) {
  Device device;
  QUIRE_ASSIGN_OR_RETURN(device.backend, MakeBackend(options));
  QUIRE_ASSIGN_OR_RETURN(device.communicator, rendezvous.HostCommunicator());
  return device;
}

}  // namespace quire::kernels
