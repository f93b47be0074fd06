// Small tools of the device benches: errors that are printed and survived, device buffers, fresh random data
// and times taken over replays of a CUDA graph (so that launches cost the host nothing). One thread, one
// stream. What always holds: a failed call is one JSON line and a false or NaN, never an exit.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace quire::kernels::cuda::bench {

// One JSON object on one line of stdout, flushed at once: a run that is cut off keeps what it printed.
class JsonLine {
 public:
  explicit JsonLine(const std::string& what) { text_ = "{\"what\": \"" + what + "\""; }
  JsonLine& Text(const char* name, const std::string& value) {
    text_ += std::string(", \"") + name + "\": \"" + value + "\"";
    return *this;
  }
  JsonLine& Number(const char* name, double value) {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.6g", value);
    text_ += std::string(", \"") + name + "\": " + (std::isfinite(value) ? digits : "null");
    return *this;
  }
  JsonLine& Flag(const char* name, bool value) {
    text_ += std::string(", \"") + name + "\": " + (value ? "true" : "false");
    return *this;
  }
  std::string Line() const { return text_ + "}"; }
  void Print() const {
    std::printf("%s\n", Line().c_str());
    std::fflush(stdout);
  }

 private:
  std::string text_;
};

// True for success; else prints what failed. Clears the error so that later calls say their own.
inline bool Ok(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  (void)cudaGetLastError();
  JsonLine("error").Text("where", what).Text("error", cudaGetErrorString(error)).Print();
  return false;
}

class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    if (!Ok(cudaMalloc(&data_, bytes), "cudaMalloc")) data_ = nullptr;
  }
  ~Buffer() { (void)cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }
  bool ok() const { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

// The i-th value of a stream: about normal, of this deviation.
float RandomValue(uint32_t seed, uint64_t i, float deviation);
// `period` elements repeat (a row that all rows equal, say); 0: never.
void Randomize(__nv_bfloat16* out, uint64_t count, uint32_t seed, float deviation, uint64_t period = 0);
// hashes[row] += a hash of the bits of y[row, 0 .. bytes of a row).
void HashRows(const void* y, int64_t rows, int64_t row_bytes, unsigned long long* hashes,
              cudaStream_t stream);

struct Times {
  double median_us = std::numeric_limits<double>::quiet_NaN();  // of one launch
  double least_us = std::numeric_limits<double>::quiet_NaN();
  bool ok() const { return std::isfinite(median_us); }
};

// Captures `launches` calls of launch(i) (false: it could not) in one graph and replays it.
inline Times TimeGraph(cudaStream_t stream, int launches, int replays,
                       const std::function<bool(int, cudaStream_t)>& launch) {
  Times times;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  // Once outside: kernels are loaded when they first run, which a capture does not like.
  if (!launch(0, stream) || !Ok(cudaStreamSynchronize(stream), "first launch")) return times;
  if (!Ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture")) return times;
  bool launched = true;
  for (int i = 0; i < launches && launched; ++i) launched = launch(i, stream);
  const cudaError_t captured = cudaStreamEndCapture(stream, &graph);
  if (!launched || captured != cudaSuccess ||
      !Ok(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate")) {
    (void)cudaGetLastError();
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    return times;
  }
  cudaEvent_t start, stop;
  (void)cudaEventCreate(&start);
  (void)cudaEventCreate(&stop);
  std::vector<double> samples;
  for (int i = -1; i < replays; ++i) {
    (void)cudaEventRecord(start, stream);
    (void)cudaGraphLaunch(exec, stream);
    (void)cudaEventRecord(stop, stream);
    float ms = 0;
    if (!Ok(cudaEventSynchronize(stop), "graph replay")) break;
    (void)cudaEventElapsedTime(&ms, start, stop);
    if (i >= 0) samples.push_back(1000.0 * ms / launches);
  }
  if (static_cast<int>(samples.size()) == replays) {
    std::sort(samples.begin(), samples.end());
    times = {samples[samples.size() / 2], samples[0]};
  }
  (void)cudaEventDestroy(start);
  (void)cudaEventDestroy(stop);
  (void)cudaGraphExecDestroy(exec);
  (void)cudaGraphDestroy(graph);
  return times;
}

// y[M, N] = x[M, K] * W[N, K]^T of QwQ-32B on one GPU.
struct GemmShape {
  const char* name;
  int64_t n, k;
};
inline constexpr GemmShape kShapes[] = {{"qkv", 7168, 5120},
                                        {"o", 5120, 5120},
                                        {"gate_up", 55296, 5120},
                                        {"down", 5120, 27648},
                                        {"lm_head", 152064, 5120}};

// What this device can do, measured by MeasureCeilings in the same run.
struct Ceilings {
  double read_bytes_per_s = std::numeric_limits<double>::quiet_NaN();
  double flops_per_s = std::numeric_limits<double>::quiet_NaN();
  // The least time of a GEMM: its weights read once or its multiplications, whichever is longer.
  double LineUs(const GemmShape& shape, int64_t m) const {
    const double weights = 2.0 * shape.n * shape.k;
    const double read = weights / read_bytes_per_s, compute = weights * m / flops_per_s;
    return 1e6 * (compute > read ? compute : read);
  }
};

}  // namespace quire::kernels::cuda::bench
