// cuBLASLt found at run time: the library is 540 MB, so no program links it. Opens the first candidate
// (LD_LIBRARY_PATH first) that has the few functions we call. Owned by whoever calls GEMMs; any
// thread. What always holds: a table that was handed out is complete.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string>

namespace quire::kernels::cuda {

struct LtLibrary {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoCheck) check;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) config_get;
};

// Null with `why` where no library is to be had.
std::unique_ptr<LtLibrary> OpenLtLibrary(std::string* why);

}  // namespace quire::kernels::cuda
