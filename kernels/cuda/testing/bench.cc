#include "kernels/cuda/testing/bench.h"

namespace quire::kernels::cuda {
namespace {

// Sums what it reads, so that nothing is left out; a write happens only for one impossible sum.
struct ReadAll {
  struct Params {
    const Word128* from;
    size_t words;
    uint32_t* out;
  };
  static constexpr int kThreads = 512, kMinBlocks = 4;
  static QUIRE_DEVICE void Run(const Params& p) {
    constexpr int kUnroll = 4;
    const size_t step = static_cast<size_t>(GridSize().x) * kThreads * kUnroll;
    uint32_t sum = 0;
    for (size_t i = static_cast<size_t>(BlockIndex().x) * kThreads * kUnroll + ThreadIndex(); i < p.words;
         i += step) {
      Word128 v[kUnroll] = {};
      QUIRE_UNROLL
      for (int u = 0; u < kUnroll; ++u) {
        if (i + u * kThreads < p.words) v[u] = Load128Once(p.from + i + u * kThreads);
      }
      QUIRE_UNROLL
      for (int u = 0; u < kUnroll; ++u) sum += v[u].word[0] ^ v[u].word[1] ^ v[u].word[2] ^ v[u].word[3];
    }
    if (sum == 0x12345678u) *p.out = sum;
  }
};

struct FillRandom {
  struct Params {
    uint16_t* to;
    size_t count;
    uint32_t seed;
    float scale;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static QUIRE_DEVICE void Run(const Params& p) {
    const size_t step = static_cast<size_t>(GridSize().x) * kThreads;
    for (size_t i = static_cast<size_t>(BlockIndex().x) * kThreads + ThreadIndex(); i < p.count; i += step) {
      uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull + p.seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
      z ^= z >> 31;
      // The sum of four uniform values is about normal.
      const float sum = static_cast<float>(z & 0xffff) + static_cast<float>((z >> 16) & 0xffff) +
                        static_cast<float>((z >> 32) & 0xffff) + static_cast<float>(z >> 48);
      p.to[i] = FloatToBf16((sum * (1.0f / 65536) - 2) * 1.7320508f * p.scale);
    }
  }
};

}  // namespace

Bench::Bench(bool once, Sink sink) : once_(once), sink_(std::move(sink)) {
  cudaDeviceProp properties;
  stream_.Record(cudaGetDeviceProperties(&properties, 0), "reading the device's properties");
  multiprocessors_ = properties.multiProcessorCount;
  flush_bytes_ = static_cast<size_t>(properties.l2CacheSize) * 2;
  flush_ = AllocateDevice(stream_, flush_bytes_);
  stream_.Record(cudaMemset(flush_, 1, flush_bytes_), "filling the buffer that flushes the cache");
  stream_.Record(cudaEventCreate(&begin_), "creating an event");
  stream_.Record(cudaEventCreate(&end_), "creating an event");
}

Bench::~Bench() {
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
  FreeDevice(flush_);
}

double Bench::Measure(const std::string& kernel, const std::string& shape, double bytes, double flops,
                      const std::function<void(Stream&)>& work, int repeats) {
  std::vector<double> us;
  const int warm = once_ ? 0 : 3;
  if (once_) repeats = 1;
  for (int i = 0; i < repeats + warm; ++i) {
    Launch<ReadAll>(stream_, {.x = multiprocessors_ * 4}, 0,
                    {static_cast<const Word128*>(flush_), flush_bytes_ / 16, static_cast<uint32_t*>(flush_)});
    stream_.Record(cudaEventRecord(begin_, stream_.handle()), "recording an event");
    work(stream_);
    stream_.Record(cudaEventRecord(end_, stream_.handle()), "recording an event");
    stream_.Record(cudaEventSynchronize(end_), "waiting for an event");
    float ms = 0;
    stream_.Record(cudaEventElapsedTime(&ms, begin_, end_), "reading an event");
    if (i >= warm) us.push_back(ms * 1000.0);
  }
  std::sort(us.begin(), us.end());
  Timing timing{.kernel = kernel,
                .shape = shape,
                .us = us[us.size() / 2],
                .us_p10 = us[us.size() / 10],
                .us_p90 = us[us.size() * 9 / 10],
                .bytes = bytes,
                .flops = flops};
  if (lines_.read > 0) timing.line = bytes / lines_.read * 1e6;
  if (lines_.matmul > 0) timing.line = std::max(timing.line, flops / lines_.matmul * 1e6);
  timing.error = stream_.Synchronize();
  sink_(timing);
  return timing.us;
}

uint16_t* NewRandomBf16(Stream& stream, size_t count, uint32_t seed, float scale) {
  auto* memory = static_cast<uint16_t*>(AllocateDevice(stream, count * sizeof(uint16_t)));
  Launch<FillRandom>(stream, {.x = 1024}, 0, {memory, count, seed, scale});
  return memory;
}

void MeasureMemoryLines(Bench& bench) {
  constexpr size_t kBytes = size_t{4} << 30;
  uint16_t* from = NewRandomBf16(bench.stream(), kBytes / 2, 1);
  void* to = AllocateDevice(bench.stream(), kBytes);
  double best = 1e30;
  for (const int per_sm : {4, 8, 16}) {
    const ReadAll::Params params{reinterpret_cast<const Word128*>(from), kBytes / 16,
                                 static_cast<uint32_t*>(to)};
    const Index3 grid{.x = bench.multiprocessors() * per_sm};
    best = std::min(best, bench.Measure(
                              "read line", "4 GiB, blocks per SM " + std::to_string(per_sm), kBytes, 0,
                              [&](Stream& stream) { Launch<ReadAll>(stream, grid, 0, params); }, 10));
  }
  const double copy = bench.Measure(
      "copy line", "4 GiB", 2.0 * kBytes, 0,
      [&](Stream& stream) {
        stream.Record(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDeviceToDevice, stream.handle()),
                      "copying");
      },
      10);
  bench.lines().read = kBytes / best * 1e6;
  bench.lines().copy = 2.0 * kBytes / copy * 1e6;
  FreeDevice(from);
  FreeDevice(to);
}

}  // namespace quire::kernels::cuda
