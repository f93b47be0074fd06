#include "kernels/cuda/lt/lt_library.h"

#include <dlfcn.h>

namespace quire::kernels::cuda {
namespace {

constexpr const char* kCandidates[] = {
    "libcublasLt.so.13",
    "/usr/local/cuda/lib64/libcublasLt.so.13",
    "/usr/local/cuda/targets/x86_64-linux/lib/libcublasLt.so.13",
};

template <typename Function>
bool Resolve(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

std::unique_ptr<LtLibrary> OpenLtLibrary(std::string* why) {
  void* library = nullptr;
  for (const char* candidate : kCandidates) {
    library = dlopen(candidate, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    const char* error = dlerror();
    *why += std::string(error == nullptr ? candidate : error) + "; ";
  }
  if (library == nullptr) return nullptr;
  auto lt = std::make_unique<LtLibrary>();
  const bool complete = Resolve(library, "cublasLtCreate", &lt->create) &&
                        Resolve(library, "cublasLtDestroy", &lt->destroy) &&
                        Resolve(library, "cublasLtGetVersion", &lt->version) &&
                        Resolve(library, "cublasLtMatmul", &lt->matmul) &&
                        Resolve(library, "cublasLtMatmulDescCreate", &lt->desc_create) &&
                        Resolve(library, "cublasLtMatmulDescDestroy", &lt->desc_destroy) &&
                        Resolve(library, "cublasLtMatmulDescSetAttribute", &lt->desc_set) &&
                        Resolve(library, "cublasLtMatrixLayoutCreate", &lt->layout_create) &&
                        Resolve(library, "cublasLtMatrixLayoutDestroy", &lt->layout_destroy) &&
                        Resolve(library, "cublasLtMatrixLayoutSetAttribute", &lt->layout_set) &&
                        Resolve(library, "cublasLtMatmulPreferenceCreate", &lt->preference_create) &&
                        Resolve(library, "cublasLtMatmulPreferenceDestroy", &lt->preference_destroy) &&
                        Resolve(library, "cublasLtMatmulPreferenceSetAttribute", &lt->preference_set) &&
                        Resolve(library, "cublasLtMatmulAlgoGetHeuristic", &lt->heuristic) &&
                        Resolve(library, "cublasLtMatmulAlgoCheck", &lt->check) &&
                        Resolve(library, "cublasLtMatmulAlgoConfigGetAttribute", &lt->config_get);
  if (complete) return lt;
  *why += "cublasLt lacks a function; ";
  return nullptr;
}

}  // namespace quire::kernels::cuda
