// Opens a backend's library and looks whether it fits this program. The library stays open until the process
// ends; opening it again costs nothing. Called by the backend factory, on the thread that starts a rank.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend_plugin.h"

namespace quire::kernels {

// NotFound: there is no such file. FailedPrecondition: it can't be loaded, or is of another build; the
// message says which, and what to do.
absl::StatusOr<const BackendPlugin*> LoadPlugin(const std::string& path);

// A file that stands beside the running program; "" where /proc does not say where that is.
std::string BesideProgram(const std::string& name);

}  // namespace quire::kernels
