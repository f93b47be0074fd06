// The device layer as CUDA: see device.h, which alone includes this. Inline PTX of sm_80 and later. Host
// calls remember their first error in the Stream.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/cuda/device/types.h"

#define QUIRE_DEVICE __device__ __forceinline__
#define QUIRE_UNROLL _Pragma("unroll")
#define QUIRE_UNROLL_8 _Pragma("unroll 8")
#define QUIRE_NO_UNROLL _Pragma("unroll 1")

namespace quire::kernels::cuda {

inline constexpr bool kEmulated = false;

QUIRE_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
QUIRE_DEVICE int WarpIndex() { return static_cast<int>(threadIdx.x) / kWarpLanes; }
QUIRE_DEVICE int LaneIndex() { return static_cast<int>(threadIdx.x) % kWarpLanes; }
QUIRE_DEVICE Index3 BlockIndex() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)};
}
QUIRE_DEVICE Index3 GridSize() {
  return {static_cast<int>(gridDim.x), static_cast<int>(gridDim.y), static_cast<int>(gridDim.z)};
}

QUIRE_DEVICE std::byte* SharedMemory() {
  extern __shared__ __align__(1024) unsigned char quire_shared_memory[];
  return reinterpret_cast<std::byte*>(quire_shared_memory);
}
QUIRE_DEVICE void SyncBlock() { __syncthreads(); }
QUIRE_DEVICE void SyncWarp() { __syncwarp(); }

template <typename T>
QUIRE_DEVICE T Shuffle(T value, int lane) {
  return __shfl_sync(kAllLanes, value, lane);
}
template <typename T>
QUIRE_DEVICE T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(kAllLanes, value, mask);
}
QUIRE_DEVICE uint32_t Ballot(bool value) { return __ballot_sync(kAllLanes, value); }

QUIRE_DEVICE Word128 Load128(const void* from) {
  const uint4 v = *static_cast<const uint4*>(from);
  return {{v.x, v.y, v.z, v.w}};
}
QUIRE_DEVICE Word128 Load128Once(const void* from) {
  Word128 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(from));
  return v;
}
QUIRE_DEVICE void Store128(void* to, const Word128& v) {
  *static_cast<uint4*>(to) = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
}

QUIRE_DEVICE uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}
// No cache hint: an H100 took cp.async with one for an illegal instruction.
QUIRE_DEVICE void CopyAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}
// Of what other warps of this multiprocessor copy, too: kept in L1.
QUIRE_DEVICE void CopyAsync16Kept(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}
QUIRE_DEVICE void CopyAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroupsLeft>
QUIRE_DEVICE void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

QUIRE_DEVICE void LdMatrix4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}
QUIRE_DEVICE void LdMatrix4Trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}
QUIRE_DEVICE void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace quire::kernels::cuda

#include "kernels/cuda/device/group_mma_cuda.h"

namespace quire::kernels::cuda {

QUIRE_DEVICE void LetNextKernelStart() {
  if constexpr (QUIRE_CUDA_ARCH >= 900) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
QUIRE_DEVICE void WaitForPriorKernel() {
  if constexpr (QUIRE_CUDA_ARCH >= 900) asm volatile("griddepcontrol.wait;" ::: "memory");
}

QUIRE_DEVICE int Opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
QUIRE_DEVICE int AtomicAdd(int* to, int value) { return atomicAdd(to, value); }
QUIRE_DEVICE void StoreRelease(uint32_t* to, uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}
QUIRE_DEVICE uint32_t LoadAcquire(const uint32_t* from) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}
QUIRE_DEVICE void Pause() {}

QUIRE_DEVICE float Bf16ToFloat(uint32_t bits) { return __uint_as_float(bits << 16); }
// The first argument stands in the lower half.
QUIRE_DEVICE uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
QUIRE_DEVICE uint16_t FloatToBf16(float x) { return static_cast<uint16_t>(PackBf16(x, 0)); }
QUIRE_DEVICE float Fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
QUIRE_DEVICE float Max(float a, float b) { return fmaxf(a, b); }
QUIRE_DEVICE float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
QUIRE_DEVICE float Exp(float x) { return __expf(x); }
QUIRE_DEVICE float Log(float x) { return logf(x); }
QUIRE_DEVICE float Rsqrt(float x) { return rsqrtf(x); }
QUIRE_DEVICE float Reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
QUIRE_DEVICE float Divide(float a, float b) { return __fdiv_rn(a, b); }
QUIRE_DEVICE float BitsToFloat(uint32_t bits) { return __uint_as_float(bits); }
QUIRE_DEVICE uint32_t FloatToBits(float x) { return __float_as_uint(x); }
QUIRE_DEVICE double BitsToDouble(uint64_t bits) { return __longlong_as_double(static_cast<long long>(bits)); }
QUIRE_DEVICE uint64_t DoubleToBits(double x) { return static_cast<uint64_t>(__double_as_longlong(x)); }

// ---- host ----

// Where work is queued; one thread uses it. Errors stay until Synchronize says them.
class Stream {
 public:
  explicit Stream(cudaStream_t handle = nullptr, int device = 0) : handle_(handle), device_(device) {}
  cudaStream_t handle() const { return handle_; }
  // CUDA's device of this thread becomes the stream's: before the first call of each thread.
  void MakeCurrent() { Record(cudaSetDevice(device_), "choosing the device"); }
  void Record(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // said here; later calls say their own
    if (error_.empty()) error_ = std::string(what) + ": " + cudaGetErrorString(error);
  }
  void Record(const std::string& error) {
    if (error_.empty()) error_ = error;
  }
  // Waits; the first error since the last call, or "".
  std::string Synchronize() {
    Record(cudaStreamSynchronize(handle_), "waiting for the stream");
    return TakeError();
  }
  // As on fibers, where it may come later: what the kernel before the next one does.
  template <typename Work>
  void BeforeNextWait(Work work) {
    work();
  }
  // Without waiting: what launching alone has shown.
  std::string TakeError() {
    std::string error;
    std::swap(error, error_);
    return error;
  }

 private:
  cudaStream_t handle_;
  int device_;
  std::string error_;
};

// Where a stream stands when it is recorded there. Made while the stream's device is in use.
class Event {
 public:
  explicit Event(Stream& stream) {
    stream.Record(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "making an event");
  }
  ~Event() {
    if (handle_ != nullptr) (void)cudaEventDestroy(handle_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void Record(Stream& stream) { stream.Record(cudaEventRecord(handle_, stream.handle()), "ending a step"); }
  // Until the stream has passed it: at once where it was never recorded. "" or what went wrong meanwhile.
  std::string Wait(Stream&) const {
    const cudaError_t error = cudaEventSynchronize(handle_);
    if (error == cudaSuccess) return "";
    (void)cudaGetLastError();  // said here; later calls say their own
    return std::string("waiting for a step: ") + cudaGetErrorString(error);
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

// Of the device that is in use.
inline DeviceSize ReadDeviceSize(Stream& stream) {
  int device = 0;
  DeviceSize size;
  stream.Record(cudaGetDevice(&device), "asking for the device");
  stream.Record(cudaDeviceGetAttribute(&size.processors, cudaDevAttrMultiProcessorCount, device),
                "reading the device's size");
  stream.Record(cudaDeviceGetAttribute(&size.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                "reading the device's size");
  return size;
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    RunKernel(const __grid_constant__ typename Kernel::Params params) {
  Kernel::Run(params);
}

enum class Order : uint8_t {
  kAfter,        // starts when what is queued before has ended
  kOverlapping,  // may start with the kernel before, where that lets it; must WaitForPriorKernel
};

template <typename Kernel>
void Launch(Stream& stream, Index3 grid, int shared_bytes, const typename Kernel::Params& params,
            Order order = Order::kAfter) {
  constexpr int kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking) {
    stream.Record(
        cudaFuncSetAttribute(RunKernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
        "asking for shared memory");
  }
  cudaLaunchAttribute overlapping = {};
  overlapping.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlapping.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim =
      dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  config.blockDim = dim3(Kernel::kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream.handle();
  config.attrs = &overlapping;
  config.numAttrs = order == Order::kOverlapping ? 1 : 0;
  stream.Record(cudaLaunchKernelEx(&config, RunKernel<Kernel>, params), "launching a kernel");
}

// What `enqueue` puts on the stream, which is not the default one, to be launched again and again. Nothing is
// allocated or copied meanwhile, and every kernel has run before: loading one breaks a capture. It waits for
// nothing; what was queued before goes on running.
class Graph {
 public:
  template <typename Enqueue>
  Graph(Stream& stream, const Enqueue& enqueue) {
    error_ = stream.TakeError();
    if (!error_.empty()) return;
    stream.Record(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal),
                  "beginning a capture");
    error_ = stream.TakeError();
    if (!error_.empty()) return;
    enqueue(stream);
    stream.Record(cudaStreamEndCapture(stream.handle(), &graph_), "ending a capture");
    error_ = stream.TakeError();
    if (!error_.empty()) return;
    stream.Record(cudaGraphGetNodes(graph_, nullptr, &nodes_), "counting a graph's nodes");
    stream.Record(cudaGraphInstantiate(&exec_, graph_, 0), "instantiating a graph");
    error_ = stream.TakeError();
  }
  ~Graph() {
    if (exec_ != nullptr) (void)cudaGraphExecDestroy(exec_);
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // "", or why there is no graph.
  const std::string& error() const { return error_; }
  size_t nodes() const { return nodes_; }
  void Launch(Stream& stream) const {
    if (exec_ == nullptr) return stream.Record("no graph to launch: " + error_);
    stream.Record(cudaGraphLaunch(exec_, stream.handle()), "launching a graph");
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
  size_t nodes_ = 0;
  std::string error_;
};

inline void* AllocateDevice(Stream& stream, size_t bytes) {
  void* memory = nullptr;
  const std::string what = "allocating " + std::to_string(bytes) + " bytes of device memory";
  stream.Record(cudaMalloc(&memory, bytes), what.c_str());
  return memory;
}
inline void FreeDevice(void* memory) { cudaFree(memory); }
inline void CopyToDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.Record(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream.handle()),
                "copying to the device");
  stream.Record(cudaStreamSynchronize(stream.handle()), "copying to the device");
}
inline void CopyToHost(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.Record(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream.handle()),
                "copying to the host");
  stream.Record(cudaStreamSynchronize(stream.handle()), "copying to the host");
}
inline void QueueCopyToDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.Record(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream.handle()),
                "copying to the device");
}
inline void QueueCopyToHost(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.Record(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream.handle()),
                "copying to the host");
}
inline void QueueCopyOnDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.Record(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream.handle()),
                "copying on the device");
}
inline void QueueClear(Stream& stream, void* memory, size_t bytes) {
  stream.Record(cudaMemsetAsync(memory, 0, bytes, stream.handle()), "clearing device memory");
}
inline void* AllocatePinned(Stream& stream, size_t bytes) {
  void* memory = nullptr;
  stream.Record(cudaMallocHost(&memory, bytes), "allocating pinned memory");
  return memory;
}
inline void FreePinned(void* memory) { cudaFreeHost(memory); }

}  // namespace quire::kernels::cuda
