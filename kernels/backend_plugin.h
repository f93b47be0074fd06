// What a backend in a library of its own exports, so that one worker starts on machines without its device's
// driver. Plain declarations, shared by the program that opens it (plugin_loader.h) and the library, which
// takes kernels/ and base/core from that program: C++ crosses, so both are made of the same headers, and
// `build`, which CMake counts from them, says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend_factory.h"

namespace quire::kernels {

struct BackendPlugin {
  const char* build;  // QUIRE_BACKEND_BUILD, as its compiler was given it (kernels/CMakeLists.txt)
  // Why a model of these sizes has no kernels; "": it has.
  std::string (*why_not)(const DeviceDemand& demand);
  // What each GPU is called, by its number; "" of one that does not answer. Takes nothing of them.
  // Unavailable, and why, where there is none.
  absl::StatusOr<std::vector<std::string>> (*list)();
  // The one of that number, which is listed. Unavailable, and why, where it can't be used.
  absl::StatusOr<DeviceChoice> (*find)(int index);
  absl::StatusOr<Device> (*make)(const BackendOptions& options, Rendezvous& rendezvous);
};

// The name of the one function that a library exports: const BackendPlugin* QuireBackendPlugin().
inline constexpr char kPluginFunction[] = "QuireBackendPlugin";

}  // namespace quire::kernels
