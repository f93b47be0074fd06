#include "kernels/cuda/lt/lt_products.h"

#include <map>
#include <tuple>
#include <utility>

#include "kernels/cuda/lt/lt_matmul.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kOfChain = 66;  // CUBLASLT_ALGO_CONFIG_ID of the algorithms that sum as our chain does
constexpr double kNever = 1e30;

bool Ok(cudaError_t error) {
  if (error != cudaSuccess) (void)cudaGetLastError();  // said by whoever asked; later calls say their own
  return error == cudaSuccess;
}

struct CudaFree {
  void operator()(void* memory) const { (void)cudaFree(memory); }
};

}  // namespace

class LtProducts::Library {
 public:
  Library(std::unique_ptr<LtLibrary> lt, cublasLtHandle_t handle, std::function<void(const LtChoice&)> chose)
      : lt_(std::move(lt)), handle_(handle), chose_(std::move(chose)) {
    void* workspace = nullptr;
    ok_ = Ok(cudaEventCreate(&begin_)) && Ok(cudaEventCreate(&end_)) &&
          Ok(cudaMalloc(&workspace, kLtWorkspaceBytes));
    workspace_.reset(workspace);
  }
  ~Library() {
    chosen_.clear();
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
    (void)lt_->destroy(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  bool ok() const { return ok_; }

  LtAnswer Run(const LtProduct& product, cudaStream_t stream) {
    const auto key =
        std::make_tuple(product.m, product.n, product.k, product.leaves, product.y_is_bf16, product.y_stride);
    auto found = chosen_.find(key);
    if (found == chosen_.end()) {
      cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
      if (!Ok(cudaStreamIsCapturing(stream, &capturing)) || capturing != cudaStreamCaptureStatusNone) {
        return LtAnswer::kFailed;  // it must be chosen before
      }
      Chosen chosen;
      if (!Choose(product, stream, chosen)) {
        chosen.matmul = nullptr;
        chose_({product.m, product.n, product.k, product.leaves, chosen.candidates, kNever, ""});
      }
      found = chosen_.emplace(key, std::move(chosen)).first;
    }
    if (found->second.matmul == nullptr) return LtAnswer::kNoChain;
    return RunChosen(found->second, product, stream) ? LtAnswer::kDone : LtAnswer::kFailed;
  }
  size_t version() const { return lt_->version(); }

 private:
  struct Chosen {
    std::unique_ptr<LtMatmul> matmul;
    cublasLtMatmulAlgo_t algo = {};
    int candidates = 0;
  };

  bool RunChosen(const Chosen& chosen, const LtProduct& product, cudaStream_t stream) const {
    return chosen.matmul->Run(chosen.algo, product.weights, product.x, product.y, workspace_.get(), stream);
  }

  // False where none runs.
  bool Choose(const LtProduct& product, cudaStream_t stream, Chosen& chosen) {
    const LtShape shape{product.m,        product.n,
                        product.k,        product.y_is_bf16 ? CUDA_R_16BF : CUDA_R_32F,
                        product.y_stride, product.leaves};
    chosen.matmul = std::make_unique<LtMatmul>(*lt_, handle_, shape);
    if (!chosen.matmul->ok()) return false;
    const LtMatmul& matmul = *chosen.matmul;
    std::vector<cublasLtMatmulAlgo_t> candidates;
    for (const cublasLtMatmulAlgo_t& algo : matmul.Heuristics(false, 24)) {
      if (matmul.Config(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1) continue;
      if (matmul.Config(algo, CUBLASLT_ALGO_CONFIG_ID) == kOfChain) candidates.push_back(algo);
    }
    cublasLtMatmulAlgo_t best = {};
    double least = kNever;
    for (const cublasLtMatmulAlgo_t& algo : candidates) {
      chosen.algo = algo;
      const double us = Time(chosen, product, stream);
      if (us >= least) continue;
      least = us;
      best = algo;
    }
    chosen.algo = best;
    chosen.candidates = static_cast<int>(candidates.size());
    if (least == kNever) return false;
    chose_({product.m, product.n, product.k, product.leaves, chosen.candidates, least, matmul.Name(best)});
    return true;
  }

  // The lesser of two after a first; what can't run takes forever.
  double Time(const Chosen& chosen, const LtProduct& product, cudaStream_t stream) const {
    double least = kNever;
    for (int i = 0; i < 3; ++i) {
      (void)cudaEventRecord(begin_, stream);
      if (!RunChosen(chosen, product, stream)) return kNever;
      (void)cudaEventRecord(end_, stream);
      if (!Ok(cudaEventSynchronize(end_))) return kNever;
      float ms = 0;
      (void)cudaEventElapsedTime(&ms, begin_, end_);
      if (i > 0 && ms * 1000.0 < least) least = ms * 1000.0;
    }
    return least;
  }

  const std::unique_ptr<LtLibrary> lt_;
  const cublasLtHandle_t handle_;
  bool ok_ = false;
  std::unique_ptr<void, CudaFree> workspace_;
  std::map<std::tuple<int, int, int, int, bool, int64_t>, Chosen> chosen_;  // no matmul: none is there
  const std::function<void(const LtChoice&)> chose_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

LtProducts::LtProducts(std::unique_ptr<Library> library) : library_(std::move(library)) {}
LtProducts::~LtProducts() = default;

bool LtProducts::IsThere(std::string* why) { return OpenLtLibrary(why) != nullptr; }

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
    *why += "no memory for its workspace";
    return nullptr;
  }
  return std::unique_ptr<LtProducts>(new LtProducts(std::move(library)));
}

LtAnswer LtProducts::Run(const LtProduct& product, cudaStream_t stream) {
  return library_->Run(product, stream);
}

size_t LtProducts::version() const { return library_->version(); }

}  // namespace quire::kernels::cuda
