#include "kernels/cuda/lt/lt_products.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/lt/lt_matmul.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kMostOffers = 24;

bool Ok(cudaError_t error) {
  if (error != cudaSuccess) (void)cudaGetLastError();  // said by whoever asked; later calls say their own
  return error == cudaSuccess;
}

struct CudaFree {
  void operator()(void* memory) const { (void)cudaFree(memory); }
};

// What all operations share, and outlives them.
struct Library {
  Library(std::unique_ptr<LtLibrary> opened, std::function<cudaStream_t(Stream&)> handle_of)
      : lt(std::move(opened)), stream_of(std::move(handle_of)) {
    void* memory = nullptr;
    ok = lt->create(&handle) == CUBLAS_STATUS_SUCCESS && Ok(cudaEventCreate(&begin)) &&
         Ok(cudaEventCreate(&end)) && Ok(cudaMalloc(&memory, kLtWorkspaceBytes));
    workspace.reset(memory);
  }
  ~Library() {
    if (begin != nullptr) (void)cudaEventDestroy(begin);
    if (end != nullptr) (void)cudaEventDestroy(end);
    if (handle != nullptr) (void)lt->destroy(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const std::unique_ptr<LtLibrary> lt;
  const std::function<cudaStream_t(Stream&)> stream_of;
  cublasLtHandle_t handle = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  std::unique_ptr<void, CudaFree> workspace;
  bool ok = false;
};

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(LtAlgorithm::opaque));

cublasLtMatmulAlgo_t Own(const LtAlgorithm& algorithm) {
  cublasLtMatmulAlgo_t own = {};
  std::memcpy(&own, algorithm.opaque.data(), sizeof own);
  return own;
}

class Operation final : public LtOperation {
 public:
  Operation(std::shared_ptr<const Library> library, const LtShape& shape)
      : library_(std::move(library)), matmul_(*library_->lt, library_->handle, shape) {}
  bool ok() const { return matmul_.ok(); }

  std::vector<LtAlgorithm> Offers() override {
    std::vector<LtAlgorithm> offers;
    for (const cublasLtMatmulAlgo_t& own : matmul_.Heuristics(false, kMostOffers)) {
      LtAlgorithm offer{.config = matmul_.ConfigOf(own)};
      std::memcpy(offer.opaque.data(), &own, sizeof own);
      if (offer.config.split_k <= 1) offers.push_back(offer);
    }
    return offers;
  }
  bool Supports(const LtAlgorithm& algorithm) override { return matmul_.Supports(Own(algorithm)); }
  bool Run(const LtAlgorithm& algorithm, const LtProduct& p, Stream& stream) override {
    return RunOn(Own(algorithm), p, library_->stream_of(stream));
  }
  // The lesser of two after a first.
  std::optional<double> TimeUs(const LtAlgorithm& algorithm, const LtProduct& p, Stream& stream) override {
    const cudaStream_t on = library_->stream_of(stream);
    std::optional<double> least;
    for (int i = 0; i < 3; ++i) {
      (void)cudaEventRecord(library_->begin, on);
      if (!RunOn(Own(algorithm), p, on)) return std::nullopt;
      (void)cudaEventRecord(library_->end, on);
      float ms = 0;
      if (!Ok(cudaEventSynchronize(library_->end)) ||
          !Ok(cudaEventElapsedTime(&ms, library_->begin, library_->end))) {
        return std::nullopt;
      }
      const double us = ms * 1000.0;
      if (i > 0) least = least ? std::min(*least, us) : us;
    }
    return least;
  }

 private:
  bool RunOn(const cublasLtMatmulAlgo_t& own, const LtProduct& p, cudaStream_t on) const {
    return matmul_.Run(own, p.weights, p.x, p.y, library_->workspace.get(), on);
  }

  const std::shared_ptr<const Library> library_;
  const LtMatmul matmul_;
};

}  // namespace

bool LtIsThere(std::string* why) { return OpenLtLibrary(why) != nullptr; }

LtCalls OpenLt(std::function<cudaStream_t(Stream&)> handle_of, std::string* why) {
  LtCalls calls;
  auto lt = OpenLtLibrary(why);
  if (lt == nullptr) return calls;
  const auto library = std::make_shared<const Library>(std::move(lt), std::move(handle_of));
  if (!library->ok) {
    *why += "no handle, or no memory for its workspace";
    return calls;
  }
  calls.version = library->lt->version();
  calls.open = [library](const LtShape& shape) -> std::unique_ptr<LtOperation> {
    auto operation = std::make_unique<Operation>(library, shape);
    return operation->ok() ? std::move(operation) : nullptr;
  };
  calls.is_captured = [library](Stream& stream) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return !Ok(cudaStreamIsCapturing(library->stream_of(stream), &status)) ||
           status != cudaStreamCaptureStatusNone;
  };
  return calls;
}

}  // namespace quire::kernels::cuda
