#include "tests/bench/machine_ceilings.h"

#include <immintrin.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels/cpu/amx_probe.h"

namespace quire::bench {
namespace {

// Seconds from the moment all threads are there to the moment the last is done.
template <typename Body>
double Together(int threads, bool cpu_time, const Body& body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> workers;
  std::vector<double> starts(threads), ends(threads);
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      ready.fetch_add(1);
      while (ready.load() < threads) _mm_pause();
      starts[t] = Now(cpu_time);
      body(t);
      ends[t] = Now(cpu_time);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return *std::max_element(ends.begin(), ends.end()) - *std::min_element(starts.begin(), starts.end());
}

__attribute__((target("avx2"))) int64_t ReadAll(const char* from, size_t bytes) {
  __m256i sums[4] = {};
  for (size_t i = 0; i < bytes; i += 128) {
    _mm_prefetch(from + i + 4096, _MM_HINT_T1);
    _mm_prefetch(from + i + 4160, _MM_HINT_T1);
    for (int j = 0; j < 4; ++j) {
      sums[j] =
          _mm256_xor_si256(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i + j * 32)));
    }
  }
  const __m256i sum =
      _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
  return _mm256_extract_epi64(sum, 0);
}

constexpr int64_t kRounds = 2'000'000;
constexpr int kChains = 12;

// Twelve independent chains hide the latency. The instruction is spelt out: the compiler must neither merge
// the chains nor keep them in memory. Return the flops done.
__attribute__((target("avx512f"))) double DotChains512() {
  __m512 acc[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) acc[c] = _mm512_setzero_ps();
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) asm volatile("vdpbf16ps %1,%1,%0" : "+v"(acc[c]) : "v"(ones));
  }
  return static_cast<double>(kRounds) * kChains * 64;
}

__attribute__((target("avx512f"))) double ByteDotChains() {
  __m512i acc[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) acc[c] = _mm512_setzero_si512();
  const __m512i ones = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) asm volatile("vpdpbusd %1,%1,%0" : "+v"(acc[c]) : "v"(ones));
  }
  return static_cast<double>(kRounds) * kChains * 128;
}

__attribute__((target("avx2,fma"))) double DotChains256() {
  __m256 acc[kChains];
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) acc[c] = _mm256_setzero_ps();
  const __m256 ones = _mm256_set1_ps(1);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) asm volatile("vfmadd231ps %1,%1,%0" : "+x"(acc[c]) : "x"(ones));
  }
  return static_cast<double>(kRounds) * kChains * 16;
}

bool MayUseAmx() {
  return kernels::cpu::ProveAmx(kernels::cpu::AskForAmx(), kernels::cpu::AmxMatmuls()).ok();
}

// Four accumulator tiles of two A and two B tiles, all 16 rows of 64 bytes, as a matmul would hold them.
double AmxTiles() {
  constexpr int64_t kAmxRounds = 200'000;
  alignas(64) volatile uint8_t config[64] = {1};  // palette 1
  for (int tile = 0; tile < 8; ++tile) {
    config[16 + 2 * tile] = 64;  // bytes a row
    config[48 + tile] = 16;      // rows
  }
  asm volatile("ldtilecfg (%0)" : : "r"(config) : "memory");
  asm volatile(
      "tilezero %tmm0\n tilezero %tmm1\n tilezero %tmm2\n tilezero %tmm3\n"
      "tilezero %tmm4\n tilezero %tmm5\n tilezero %tmm6\n tilezero %tmm7");
  for (int64_t i = 0; i < kAmxRounds; ++i) {
    asm volatile(
        "tdpbf16ps %tmm6, %tmm4, %tmm0\n tdpbf16ps %tmm7, %tmm4, %tmm1\n"
        "tdpbf16ps %tmm6, %tmm5, %tmm2\n tdpbf16ps %tmm7, %tmm5, %tmm3");
  }
  asm volatile("tilerelease");
  return static_cast<double>(kAmxRounds) * 4 * (16 * 16 * 32 * 2);
}

}  // namespace

double Now(bool cpu_time) {
  timespec now{};
  clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

CeilingMeter::CeilingMeter(int threads, bool cpu_time)
    : threads_(threads), cpu_time_(cpu_time), amx_(MayUseAmx()) {
  memory_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(memory_, kBytes, MADV_HUGEPAGE);
  std::memset(memory_, 1, kBytes);
}

CeilingMeter::~CeilingMeter() { munmap(memory_, kBytes); }

Ceilings CeilingMeter::Measure() {
  Ceilings out;
  const size_t share = kBytes / threads_ / 4096 * 4096;
  std::atomic<int64_t> sink{0};
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double seconds = Together(threads_, cpu_time_, [&](int t) {
      sink += ReadAll(static_cast<const char*>(memory_) + t * share, share);
    });
    out.read_gb_s = std::max(out.read_gb_s, static_cast<double>(share * threads_) / seconds / 1e9);
  }
  std::atomic<double> flops{0};
  const bool wide = __builtin_cpu_supports("avx512bf16");
  const double seconds =
      Together(threads_, cpu_time_, [&](int) { flops.fetch_add(wide ? DotChains512() : DotChains256()); });
  out.bf16_gflop_s = flops.load() / seconds / 1e9;
  if (__builtin_cpu_supports("avx512vnni")) {
    flops = 0;
    const double byte_seconds = Together(threads_, cpu_time_, [&](int) { flops.fetch_add(ByteDotChains()); });
    out.int8_gop_s = flops.load() / byte_seconds / 1e9;
  }
  if (amx_) {
    flops = 0;
    const double amx_seconds = Together(threads_, cpu_time_, [&](int) { flops.fetch_add(AmxTiles()); });
    out.amx_gflop_s = flops.load() / amx_seconds / 1e9;
  }
  return out;
}

}  // namespace quire::bench
