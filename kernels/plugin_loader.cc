#include "kernels/plugin_loader.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace quire::kernels {
namespace {

std::string WhyNot() {
  const char* error = dlerror();
  return error == nullptr ? "no reason given" : error;
}

}  // namespace

absl::StatusOr<const BackendPlugin*> LoadPlugin(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError(absl::StrCat("there is no ", path));
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("can't load ", path, ": ", WhyNot()));
  }
  using Function = const BackendPlugin* (*)();
  const auto function = reinterpret_cast<Function>(dlsym(library, kPluginFunction));
  if (function == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no backend of Quire: ", WhyNot()));
  }
  const BackendPlugin* plugin = function();
  if (const std::string build = plugin->build; build != QUIRE_BACKEND_BUILD) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is of the build ", build,
                                                      " and this program of ", QUIRE_BACKEND_BUILD,
                                                      ": install both from one build"));
  }
  return plugin;
}

std::string BesideProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : (self.parent_path() / name).string();
}

}  // namespace quire::kernels
