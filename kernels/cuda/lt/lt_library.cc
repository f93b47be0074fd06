#include "kernels/cuda/lt/lt_library.h"

#include <utility>

#include "kernels/cuda/open_library.h"

namespace quire::kernels::cuda {
namespace {

constexpr const char* kCandidates[] = {
    "libcublasLt.so.13",
    "/usr/local/cuda/lib64/libcublasLt.so.13",
    "/usr/local/cuda/targets/x86_64-linux/lib/libcublasLt.so.13",
};

// "", or the first that it lacks.
std::string ResolveAll(void* library, LtLibrary* lt) {
  const char* lacks = "";
  const auto has = [&](const char* name, auto* function) {
    lacks = name;
    return ResolveFunction(library, name, function);
  };
  const bool complete = has("cublasLtCreate", &lt->create) && has("cublasLtDestroy", &lt->destroy) &&
                        has("cublasLtGetVersion", &lt->version) && has("cublasLtMatmul", &lt->matmul) &&
                        has("cublasLtMatmulDescCreate", &lt->desc_create) &&
                        has("cublasLtMatmulDescDestroy", &lt->desc_destroy) &&
                        has("cublasLtMatmulDescSetAttribute", &lt->desc_set) &&
                        has("cublasLtMatrixLayoutCreate", &lt->layout_create) &&
                        has("cublasLtMatrixLayoutDestroy", &lt->layout_destroy) &&
                        has("cublasLtMatrixLayoutSetAttribute", &lt->layout_set) &&
                        has("cublasLtMatmulPreferenceCreate", &lt->preference_create) &&
                        has("cublasLtMatmulPreferenceDestroy", &lt->preference_destroy) &&
                        has("cublasLtMatmulPreferenceSetAttribute", &lt->preference_set) &&
                        has("cublasLtMatmulAlgoGetHeuristic", &lt->heuristic) &&
                        has("cublasLtMatmulAlgoCheck", &lt->check) &&
                        has("cublasLtMatmulAlgoConfigGetAttribute", &lt->config_get);
  return complete ? "" : lacks;
}

}  // namespace

std::unique_ptr<LtLibrary> OpenLtLibrary(std::string* why) {
  auto lt = std::make_unique<LtLibrary>();
  const auto resolve = [&](void* library) { return ResolveAll(library, lt.get()); };
  return OpenLibrary(kCandidates, resolve, why) == nullptr ? nullptr : std::move(lt);
}

}  // namespace quire::kernels::cuda
