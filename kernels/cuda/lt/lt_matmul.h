// One y[M, N] = x[M, K] * W[N, K]^T (bf16 in, bf16 or fp32 out, fp32 sums) as cuBLASLt sees it: descriptors,
// layouts, the algorithms its heuristics offer, and runs of any of them. One thread. The library outlives it.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/lt/lt_calls.h"
#include "kernels/cuda/lt/lt_library.h"

namespace quire::kernels::cuda {

inline constexpr size_t kLtWorkspaceBytes = size_t{32} << 20;

class LtMatmul {
 public:
  LtMatmul(const LtLibrary& lt, cublasLtHandle_t handle, int64_t m, int64_t n, int64_t k,
           cudaDataType_t out = CUDA_R_16BF)
      : LtMatmul(lt, handle,
                 LtShape{static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1, out == CUDA_R_16BF,
                         n}) {}
  LtMatmul(const LtLibrary& lt, cublasLtHandle_t handle, const LtShape& s) : lt_(lt), handle_(handle) {
    // Column major for the library: D[N, M] = op(W[K, N]) * x[K, M].
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cudaDataType_t out = s.y_is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const int64_t stride = int64_t{s.k} * s.leaves;
    ok_ = lt.desc_create(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
          lt.desc_set(desc_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) ==
              CUBLAS_STATUS_SUCCESS &&
          lt.layout_create(&w_, CUDA_R_16BF, s.k, s.n, stride) == CUBLAS_STATUS_SUCCESS &&
          lt.layout_create(&x_, CUDA_R_16BF, s.k, s.m, stride) == CUBLAS_STATUS_SUCCESS &&
          lt.layout_create(&y_, out, s.n, s.m, s.y_stride) == CUBLAS_STATUS_SUCCESS;
    if (s.leaves > 1) {
      ok_ = ok_ && Repeat(w_, s.leaves, s.k) && Repeat(x_, s.leaves, s.k) &&
            Repeat(y_, s.leaves, s.m * s.y_stride);
    }
  }
  ~LtMatmul() {
    if (y_ != nullptr) lt_.layout_destroy(y_);
    if (x_ != nullptr) lt_.layout_destroy(x_);
    if (w_ != nullptr) lt_.layout_destroy(w_);
    if (desc_ != nullptr) lt_.desc_destroy(desc_);
  }
  LtMatmul(const LtMatmul&) = delete;
  LtMatmul& operator=(const LtMatmul&) = delete;
  bool ok() const { return ok_; }

  // The first is the library's own choice. `split`: whether algorithms that split K are welcome.
  std::vector<cublasLtMatmulAlgo_t> Heuristics(bool split, int count) const {
    cublasLtMatmulPreference_t preference = nullptr;
    std::vector<cublasLtMatmulHeuristicResult_t> results(count);
    int returned = 0;
    const uint32_t schemes = split ? CUBLASLT_REDUCTION_SCHEME_MASK : CUBLASLT_REDUCTION_SCHEME_NONE;
    if (lt_.preference_create(&preference) != CUBLAS_STATUS_SUCCESS) return {};
    lt_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kLtWorkspaceBytes,
                       sizeof kLtWorkspaceBytes);
    lt_.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    if (lt_.heuristic(handle_, desc_, w_, x_, y_, y_, preference, count, results.data(), &returned) !=
        CUBLAS_STATUS_SUCCESS) {
      returned = 0;
    }
    lt_.preference_destroy(preference);
    std::vector<cublasLtMatmulAlgo_t> algos;
    for (int i = 0; i < returned; ++i) {
      if (results[i].state == CUBLAS_STATUS_SUCCESS) algos.push_back(results[i].algo);
    }
    return algos;
  }

  bool Supports(const cublasLtMatmulAlgo_t& algo) const {
    cublasLtMatmulHeuristicResult_t result = {};
    return lt_.check(handle_, desc_, w_, x_, y_, y_, &algo, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kLtWorkspaceBytes;
  }

  bool Run(const cublasLtMatmulAlgo_t& algo, const void* weights, const void* x, void* y, void* workspace,
           cudaStream_t stream) const {
    const float one = 1.0f, zero = 0.0f;
    return lt_.matmul(handle_, desc_, &one, weights, w_, x, x_, &zero, y, y_, y, y_, &algo, workspace,
                      kLtWorkspaceBytes, stream) == CUBLAS_STATUS_SUCCESS;
  }

  int Config(const cublasLtMatmulAlgo_t& algo, cublasLtMatmulAlgoConfigAttributes_t attribute) const {
    int32_t value = 0;
    size_t written = 0;
    uint16_t half = 0;
    const bool is_half = attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
                         attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
    if (is_half) {
      lt_.config_get(&algo, attribute, &half, sizeof half, &written);
      return half;
    }
    lt_.config_get(&algo, attribute, &value, sizeof value, &written);
    return value;
  }
  LtConfig ConfigOf(const cublasLtMatmulAlgo_t& algo) const {
    return {.id = Config(algo, CUBLASLT_ALGO_CONFIG_ID),
            .tile = Config(algo, CUBLASLT_ALGO_CONFIG_TILE_ID),
            .split_k = Config(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
            .reduction = Config(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
            .swizzle = Config(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
            .option = Config(algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
            .stages = Config(algo, CUBLASLT_ALGO_CONFIG_STAGES_ID),
            .inner_shape = Config(algo, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID),
            .cluster_shape = Config(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID)};
  }
  std::string Name(const cublasLtMatmulAlgo_t& algo) const { return NameOf(ConfigOf(algo)); }

 private:
  bool Repeat(cublasLtMatrixLayout_t layout, int32_t count, int64_t offset) const {
    return lt_.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count) ==
               CUBLAS_STATUS_SUCCESS &&
           lt_.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset, sizeof offset) ==
               CUBLAS_STATUS_SUCCESS;
  }

  const LtLibrary& lt_;
  const cublasLtHandle_t handle_;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
  bool ok_ = false;
};

inline bool SameAlgo(const cublasLtMatmulAlgo_t& a, const cublasLtMatmulAlgo_t& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace quire::kernels::cuda
