#include "kernels/cuda/bench/measure.h"

namespace quire::kernels::cuda::bench {
namespace {

__device__ __host__ inline uint32_t Mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// A sum of four uniforms.
__device__ __host__ inline float Value(uint32_t seed, uint64_t i, float deviation) {
  const uint32_t bits = Mix(static_cast<uint32_t>(i) ^ Mix(seed + static_cast<uint32_t>(i >> 32)));
  const int sum = static_cast<int>(bits & 255) + static_cast<int>((bits >> 8) & 255) +
                  static_cast<int>((bits >> 16) & 255) + static_cast<int>(bits >> 24) - 510;
  return static_cast<float>(sum) * (deviation / 147.8f);
}

__global__ void FillRandom(__nv_bfloat16* out, uint64_t count, uint64_t period, uint32_t seed,
                           float deviation) {
  const uint64_t step = static_cast<uint64_t>(gridDim.x) * blockDim.x;
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    out[i] = __float2bfloat16(Value(seed, period == 0 ? i : i % period, deviation));
  }
}

// One block a row.
__global__ void Hash(const uint16_t* y, int64_t n, unsigned long long* hashes) {
  unsigned long long sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    const uint32_t bits = y[static_cast<int64_t>(blockIdx.x) * n + i];
    sum += static_cast<unsigned long long>(Mix(static_cast<uint32_t>(i) * 0x9e3779b9u ^ bits)) *
           0x100000001b3ull;
  }
  atomicAdd(&hashes[blockIdx.x], sum);
}

}  // namespace

float RandomValue(uint32_t seed, uint64_t i, float deviation) { return Value(seed, i, deviation); }

void Randomize(__nv_bfloat16* out, uint64_t count, uint32_t seed, float deviation, uint64_t period) {
  FillRandom<<<2048, 256>>>(out, count, period, seed, deviation);
  Ok(cudaGetLastError(), "FillRandom");
  Ok(cudaDeviceSynchronize(), "FillRandom");
}

void HashRows(const void* y, int64_t rows, int64_t row_bytes, unsigned long long* hashes,
              cudaStream_t stream) {
  Hash<<<static_cast<int>(rows), 256, 0, stream>>>(static_cast<const uint16_t*>(y), row_bytes / 2, hashes);
  Ok(cudaGetLastError(), "HashRows");
}

}  // namespace quire::kernels::cuda::bench
