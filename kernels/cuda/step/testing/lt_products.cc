#include "kernels/cuda/step/testing/lt_products.h"

#include <map>
#include <tuple>
#include <utility>

#include "kernels/cuda/bench/lt_matmul.h"
#include "kernels/cuda/bench/measure.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kOfChain = 66;  // CUBLASLT_ALGO_CONFIG_ID of the algorithms that sum as our chain does
constexpr double kNever = 1e30;

}  // namespace

class LtProducts::Library {
 public:
  Library(std::unique_ptr<LtLibrary> lt, cublasLtHandle_t handle, std::function<void(const LtChoice&)> chose)
      : lt_(std::move(lt)), handle_(handle), chose_(std::move(chose)) {
    (void)bench::Ok(cudaEventCreate(&begin_), "cudaEventCreate");
    (void)bench::Ok(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Library() {
    chosen_.clear();
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
    (void)lt_->destroy(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  bool ok() const { return workspace_.ok(); }

  std::string Run(const LtProduct& product, cudaStream_t stream) {
    const auto key = std::make_tuple(product.m, product.n, product.k, product.leaves, product.y_is_bf16);
    if (chosen_.find(key) == chosen_.end()) {
      cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
      if (!bench::Ok(cudaStreamIsCapturing(stream, &capturing), "cudaStreamIsCapturing") ||
          capturing != cudaStreamCaptureStatusNone) {
        return "a product's algorithm must be chosen before its graph is captured";
      }
      Chosen chosen;
      if (!Choose(product, stream, chosen)) {
        return "cuBLASLt has no algorithm for m " + std::to_string(product.m) + ", n " +
               std::to_string(product.n) + ", k " + std::to_string(product.k);
      }
      chosen_.emplace(key, std::move(chosen));
    }
    return RunChosen(chosen_.at(key), product, stream) ? "" : "cublasLtMatmul failed";
  }

 private:
  struct Chosen {
    std::unique_ptr<LtMatmul> matmul;
    cublasLtMatmulAlgo_t algo = {};
  };

  bool RunChosen(const Chosen& chosen, const LtProduct& product, cudaStream_t stream) const {
    return chosen.matmul->Run(chosen.algo, product.weights, product.x, product.y, workspace_.as<void>(),
                              stream);
  }

  // False where none runs.
  bool Choose(const LtProduct& product, cudaStream_t stream, Chosen& chosen) {
    const LtShape shape{product.m,        product.n,
                        product.k,        product.y_is_bf16 ? CUDA_R_16BF : CUDA_R_32F,
                        product.y_stride, product.leaves};
    chosen.matmul = std::make_unique<LtMatmul>(*lt_, handle_, shape);
    if (!chosen.matmul->ok()) return false;
    const LtMatmul& matmul = *chosen.matmul;
    std::vector<cublasLtMatmulAlgo_t> of_chain, whole;
    for (const cublasLtMatmulAlgo_t& algo : matmul.Heuristics(false, 24)) {
      if (matmul.Config(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1) continue;
      whole.push_back(algo);
      if (matmul.Config(algo, CUBLASLT_ALGO_CONFIG_ID) == kOfChain) of_chain.push_back(algo);
    }
    const std::vector<cublasLtMatmulAlgo_t>& candidates = of_chain.empty() ? whole : of_chain;
    cublasLtMatmulAlgo_t best = {};
    double least = kNever;
    for (const cublasLtMatmulAlgo_t& algo : candidates) {
      chosen.algo = algo;
      const double us = Time(chosen, product, stream);
      if (us >= least) continue;
      least = us;
      best = algo;
    }
    if (least == kNever) return false;
    chosen.algo = best;
    chose_({product.m, product.n, product.k, product.leaves, static_cast<int>(candidates.size()), least,
            !of_chain.empty(), matmul.Name(best)});
    return true;
  }

  // The lesser of two after a first; what can't run takes forever.
  double Time(const Chosen& chosen, const LtProduct& product, cudaStream_t stream) const {
    double least = kNever;
    for (int i = 0; i < 3; ++i) {
      (void)cudaEventRecord(begin_, stream);
      if (!RunChosen(chosen, product, stream)) return kNever;
      (void)cudaEventRecord(end_, stream);
      if (!bench::Ok(cudaEventSynchronize(end_), "timing a product")) return kNever;
      float ms = 0;
      (void)cudaEventElapsedTime(&ms, begin_, end_);
      if (i > 0 && ms * 1000.0 < least) least = ms * 1000.0;
    }
    return least;
  }

  const std::unique_ptr<LtLibrary> lt_;
  const cublasLtHandle_t handle_;
  const bench::Buffer workspace_{kLtWorkspaceBytes};
  std::map<std::tuple<int, int, int, int, bool>, Chosen> chosen_;
  const std::function<void(const LtChoice&)> chose_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

LtProducts::LtProducts(std::unique_ptr<Library> library) : library_(std::move(library)) {}
LtProducts::~LtProducts() = default;

std::unique_ptr<LtProducts> LtProducts::Open(std::function<void(const LtChoice&)> chose, std::string* why) {
  auto lt = OpenLtLibrary(why);
  if (lt == nullptr) return nullptr;
  cublasLtHandle_t handle = nullptr;
  if (lt->create(&handle) != CUBLAS_STATUS_SUCCESS) {
    *why += "no handle";
    return nullptr;
  }
  auto library = std::make_unique<Library>(std::move(lt), handle, std::move(chose));
  if (!library->ok()) {
    *why += "no workspace";
    return nullptr;
  }
  return std::unique_ptr<LtProducts>(new LtProducts(std::move(library)));
}

std::string LtProducts::Run(const LtProduct& product, cudaStream_t stream) {
  return library_->Run(product, stream);
}

}  // namespace quire::kernels::cuda
