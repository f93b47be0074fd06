// cuBLASLt's fp32 sums beside our chain's, bit by bit, for the first rows of x at several M.
#include <cstring>

#include "kernels/cuda/lt/lt_matmul.h"
#include "kernels/cuda/bench/lt_sweep.h"
#include "kernels/cuda/bench/skinny_bench.h"

namespace quire::kernels::cuda::bench {
namespace {

constexpr int kRows = 16;
constexpr int64_t kMaxM = 4096;

struct Same {
  Buffer weights, x, ours, theirs, workspace{kLtWorkspaceBytes};
  std::vector<float> expected, got;
  explicit Same(const GemmShape& shape)
      : weights(2 * shape.n * shape.k),
        x(2 * kMaxM * shape.k),
        ours(4 * kRows * shape.n),
        theirs(4 * kMaxM * shape.n),
        expected(kRows * shape.n),
        got(kRows * shape.n) {}
  bool ok() const { return weights.ok() && x.ok() && ours.ok() && theirs.ok() && workspace.ok(); }
};

void Compare(const LtLibrary& lt, cublasLtHandle_t handle, cudaStream_t stream, const GemmShape& shape,
             int64_t m, Same& same) {
  const LtMatmul matmul(lt, handle, m, shape.n, shape.k, CUDA_R_32F);
  const size_t rows = static_cast<size_t>(std::min<int64_t>(m, kRows));
  int equal = 0, algorithms = 0;
  size_t least = same.expected.size();
  std::string which;
  for (const cublasLtMatmulAlgo_t& algo : matmul.Heuristics(false, 16)) {
    (void)cudaMemsetAsync(same.theirs.as<void>(), 0xff, same.theirs.bytes(), stream);
    if (!matmul.Run(algo, same.weights.as<void>(), same.x.as<void>(), same.theirs.as<void>(),
                    same.workspace.as<void>(), stream)) {
      continue;
    }
    (void)cudaMemcpyAsync(same.got.data(), same.theirs.as<void>(), 4 * rows * shape.n, cudaMemcpyDeviceToHost,
                          stream);
    if (!Ok(cudaStreamSynchronize(stream), "cublasLtMatmul")) return;
    size_t different = 0;
    for (size_t i = 0; i < rows * shape.n; ++i) {
      different += std::memcmp(&same.got[i], &same.expected[i], 4) == 0 ? 0 : 1;
    }
    ++algorithms;
    equal += different == 0 ? 1 : 0;
    if (different < least) which = matmul.Name(algo);
    least = std::min(least, different);
  }
  JsonLine("lt_same")
      .Text("shape", shape.name)
      .Number("n", shape.n)
      .Number("k", shape.k)
      .Number("m", m)
      .Number("algorithms", algorithms)
      .Number("equal", equal)
      .Number("least_different", least)
      .Number("of", rows * shape.n)
      .Text("nearest", which)
      .Print();
}

}  // namespace

void CompareWithChain(cudaStream_t stream) {
  std::string why;
  const auto lt = OpenLtLibrary(&why);
  cublasLtHandle_t handle = nullptr;
  if (lt == nullptr || lt->create(&handle) != CUBLAS_STATUS_SUCCESS) {
    JsonLine("error").Text("where", "cuBLASLt").Text("error", why).Print();
    return;
  }
  constexpr GemmShape kCompared[] = {{"k16", 5120, 16},        {"k32", 5120, 32},    {"k64", 5120, 64},
                                     {"o / 8", 5120, 640},     {"o", 5120, 5120},    {"qkv", 7168, 5120},
                                     {"down / 8", 5120, 3456}, {"down", 5120, 27648}};
  for (const GemmShape& shape : kCompared) {
    Same same(shape);
    if (!same.ok()) return;
    Randomize(same.weights.as<__nv_bfloat16>(), same.weights.bytes() / 2, 31, 0.02f);
    Randomize(same.x.as<__nv_bfloat16>(), same.x.bytes() / 2, 32, 1.0f);
    if (!RunSkinnyChain(stream, shape, kRows, same.weights.as<uint16_t>(), same.x.as<uint16_t>(),
                        same.ours.as<float>())) {
      return;
    }
    (void)cudaMemcpy(same.expected.data(), same.ours.as<void>(), same.ours.bytes(), cudaMemcpyDeviceToHost);
    for (const int64_t m : {1, 16, 64, 512, 4096}) Compare(*lt, handle, stream, shape, m, same);
  }
  (void)lt->destroy(handle);
}

}  // namespace quire::kernels::cuda::bench
