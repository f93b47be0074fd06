// The device's own lines: reading and copying DRAM, empty kernels in a graph and in a stream.
#include "kernels/cuda/bench/ceilings.h"

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda::bench {
namespace {

__device__ __forceinline__ uint4 LoadStreaming(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

// Each block reads its own contiguous part, kUnroll loads of 16 bytes in flight per thread.
template <int kUnroll>
__global__ void ReadOnly(const uint4* data, uint64_t count, uint32_t* sink) {
  uint32_t sum = 0;
  const uint64_t chunk = static_cast<uint64_t>(blockDim.x) * kUnroll;
  const uint64_t stride = chunk * gridDim.x;
  for (uint64_t at = blockIdx.x * chunk + threadIdx.x; at + chunk <= count + threadIdx.x; at += stride) {
    uint4 v[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) v[i] = LoadStreaming(data + at + static_cast<uint64_t>(i) * blockDim.x);
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) sum ^= v[i].x ^ v[i].y ^ v[i].z ^ v[i].w;
  }
  if (sum == 0x12345678u) *sink = sum;  // never, in all likelihood; keeps the loads
}

__global__ void Copy(const uint4* from, uint4* to, uint64_t count) {
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * blockDim.x * 4;
  for (uint64_t at = static_cast<uint64_t>(blockIdx.x) * blockDim.x * 4 + threadIdx.x; at < count;
       at += stride) {
    uint4 v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = LoadStreaming(from + at + i * blockDim.x);
#pragma unroll
    for (int i = 0; i < 4; ++i) __stcs(to + at + i * blockDim.x, v[i]);
  }
}

__global__ void Empty() {}
__global__ void EmptyDependent() {
  LetNextKernelStart();
  WaitForPriorKernel();
}

bool LaunchEmpty(cudaStream_t stream, bool dependent, int blocks) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(256);
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  return Ok(cudaLaunchKernelEx(&config, dependent ? EmptyDependent : Empty), "empty kernel");
}

double ReadLine(cudaStream_t stream, const Buffer& buffer, uint32_t* sink, int processors) {
  const uint64_t count = buffer.bytes() / 16 / (1 << 20) * (1 << 20);
  double best = 0;
  for (const int threads : {256, 512, 1024}) {
    for (const int blocks_per : {1, 2, 4, 8, 16}) {
      for (const int unroll : {4, 8, 16}) {
        if (threads * blocks_per > 2048 && blocks_per < 16) continue;
        const auto kernel = unroll == 4 ? ReadOnly<4> : unroll == 8 ? ReadOnly<8> : ReadOnly<16>;
        const Times times = TimeGraph(stream, 1, 2, [&](int, cudaStream_t s) {
          kernel<<<processors * blocks_per, threads, 0, s>>>(buffer.as<uint4>(), count, sink);
          return Ok(cudaGetLastError(), "ReadOnly");
        });
        const double rate = 16.0 * count / times.least_us * 1e6;
        if (!(rate > best)) continue;
        best = rate;
        JsonLine("ceiling")
            .Text("name", "read_variant")
            .Number("threads", threads)
            .Number("blocks_per_sm", blocks_per)
            .Number("unroll", unroll)
            .Number("gb_per_s", rate * 1e-9)
            .Print();
      }
    }
  }
  return best;
}

void CopyLine(cudaStream_t stream, const Buffer& buffer, int processors) {
  const uint64_t half = buffer.bytes() / 2 / (1 << 24) * (1 << 24), count = half / 16;
  uint4* to = buffer.as<uint4>() + count;
  for (const int blocks_per : {2, 8, 32}) {
    const Times times = TimeGraph(stream, 1, 5, [&](int, cudaStream_t s) {
      Copy<<<processors * blocks_per, 512, 0, s>>>(buffer.as<uint4>(), to, count);
      return Ok(cudaGetLastError(), "Copy");
    });
    JsonLine("ceiling")
        .Text("name", "copy_kernel")
        .Number("blocks_per_sm", blocks_per)
        .Number("gb_per_s", 2e-3 * half / times.median_us)
        .Print();
  }
  const Times times = TimeGraph(stream, 1, 5, [&](int, cudaStream_t s) {
    return Ok(cudaMemcpyAsync(to, buffer.as<void>(), half, cudaMemcpyDeviceToDevice, s), "memcpy");
  });
  JsonLine("ceiling").Text("name", "copy_memcpy").Number("gb_per_s", 2e-3 * half / times.median_us).Print();
}

void EmptyKernels(cudaStream_t stream, int processors) {
  for (const bool dependent : {false, true}) {
    for (const int blocks : {1, processors}) {
      const Times node =
          TimeGraph(stream, 1000, 5, [&](int, cudaStream_t s) { return LaunchEmpty(s, dependent, blocks); });
      JsonLine("ceiling")
          .Text("name", dependent ? "graph_node_pdl" : "graph_node")
          .Number("blocks", blocks)
          .Number("us", node.median_us)
          .Print();
    }
    cudaEvent_t start, stop;
    (void)cudaEventCreate(&start);
    (void)cudaEventCreate(&stop);
    std::vector<float> samples;
    for (int round = 0; round < 4; ++round) {
      (void)cudaEventRecord(start, stream);
      for (int i = 0; i < 1000; ++i) LaunchEmpty(stream, dependent, processors);
      (void)cudaEventRecord(stop, stream);
      if (!Ok(cudaEventSynchronize(stop), "launch gap")) return;
      float ms = 0;
      (void)cudaEventElapsedTime(&ms, start, stop);
      if (round > 0) samples.push_back(ms);
    }
    std::sort(samples.begin(), samples.end());
    JsonLine("ceiling")
        .Text("name", dependent ? "stream_launch_pdl" : "stream_launch")
        .Number("us", samples[samples.size() / 2])
        .Print();
    (void)cudaEventDestroy(start);
    (void)cudaEventDestroy(stop);
  }
}

}  // namespace

Ceilings MeasureMemory(cudaStream_t stream) {
  Ceilings ceilings;
  cudaDeviceProp device = {};
  if (!Ok(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties")) return ceilings;
  JsonLine("device")
      .Text("name", device.name)
      .Number("processors", device.multiProcessorCount)
      .Number("l2_mb", device.l2CacheSize / 1e6)
      .Number("memory_gb", device.totalGlobalMem / 1e9)
      .Print();
  Buffer buffer(size_t{4} << 30), sink(256);
  if (!buffer.ok() || !sink.ok()) return ceilings;
  Randomize(buffer.as<__nv_bfloat16>(), buffer.bytes() / 2, 1, 1.0f);
  ceilings.read_bytes_per_s = ReadLine(stream, buffer, sink.as<uint32_t>(), device.multiProcessorCount);
  JsonLine("ceiling").Text("name", "read").Number("gb_per_s", ceilings.read_bytes_per_s * 1e-9).Print();
  CopyLine(stream, buffer, device.multiProcessorCount);
  EmptyKernels(stream, device.multiProcessorCount);
  return ceilings;
}

}  // namespace quire::kernels::cuda::bench
