#include <algorithm>
#include <numeric>

#include "kernels/cuda/testing/attention_world.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kQuery = 40, kKv = 8, kDim = 128;  // QwQ-32B

struct Case {
  std::string shape;
  int sequences, tokens, position;  // of each
};

void BenchCase(Bench& bench, const Case& c, const AttentionChoice& kernels, int narrow_blocks, int repeats) {
  Stream& stream = bench.stream();
  const int length = c.position + c.tokens, pages = (length + kPageKeys - 1) / kPageKeys;
  std::vector<int32_t> blocks(static_cast<size_t>(pages) * c.sequences);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(3));
  const size_t width = size_t{kQuery} * kDim, tokens = static_cast<size_t>(c.sequences) * c.tokens;
  uint16_t* kv = NewRandomBf16(stream, blocks.size() * PageOffset(1, kKv, 0, kDim), 5);
  uint16_t* q = NewRandomBf16(stream, tokens * width, 6);
  auto* out = static_cast<uint16_t*>(AllocateDevice(stream, tokens * width * 2));
  std::vector<AttentionSpan> spans;
  for (int i = 0; i < c.sequences; ++i) {
    spans.push_back({i * c.tokens, c.tokens, c.position,
                     std::span(blocks).subspan(static_cast<size_t>(i) * pages, pages)});
  }
  const AttentionPlan plan = PlanAttention(spans, {.group = kQuery / kKv,
                                                   .kv_heads = kKv,
                                                   .wide_rows = kernels.wide_warps * kWarpRows,
                                                   .narrow_blocks = bench.multiprocessors() * narrow_blocks,
                                                   .wide_blocks = bench.multiprocessors()});
  const PlannedAttention planned(stream, plan, kDim);
  const AttentionParams params = planned.Params(q, kv, out, kQuery, kKv, kDim);
  // Pairs of (row, key); K and V are read once by a perfect kernel, q read and out written.
  const double pairs = 1.0 * c.sequences * c.tokens * (c.position + (c.tokens + 1) / 2.0) * kQuery;
  const double bytes = 4.0 * c.sequences * length * kKv * kDim + 4.0 * tokens * width;
  std::string name = "attention";
  if (c.tokens > 1)
    name += ", " + std::to_string(kernels.wide_warps) + " warps, " + std::to_string(kernels.wide_stages) +
            " stages";
  if (c.tokens == 1) name += ", " + std::to_string(kernels.narrow_stages) + " stages";
  if (c.tokens == 1 && narrow_blocks < 1000) name += ", " + std::to_string(narrow_blocks) + " blocks per SM";
  bench.Measure(
      name, c.shape, bytes, pairs * 4 * kDim,
      [&](Stream& s) { RunAttention(s, params, planned.Work(), kDim, kernels); }, repeats);
  FreeDevice(kv);
  FreeDevice(q);
  FreeDevice(out);
}

}  // namespace

void BenchAttention(Bench& bench) {
  constexpr int kEverySplit = 1 << 16;  // blocks per SM: a block for every split
  for (const int stages : {2, 3}) {
    const AttentionChoice kernels{.narrow_stages = stages};
    for (const int length : {1024, 8192}) {
      for (const int batch : {1, 8, 32}) {
        const Case decode{"decode, batch " + std::to_string(batch) + ", context " + std::to_string(length),
                          batch, 1, length - 1};
        BenchCase(bench, decode, kernels, kEverySplit, 30);
        if (batch * length >= 65536) BenchCase(bench, decode, kernels, 8, 30);
      }
    }
    BenchCase(bench, {"decode, batch 1, context 32768", 1, 1, 32767}, kernels, kEverySplit, 30);
    BenchCase(bench, {"decode, batch 1, context 131072", 1, 1, 131071}, kernels, kEverySplit, 30);
  }
  for (const AttentionChoice& kernels : {AttentionChoice{}, {.wide_stages = 1}, {.wide_warps = 8}}) {
    BenchCase(bench, {"prefill 1024", 1, 1024, 0}, kernels, kEverySplit, 20);
    BenchCase(bench, {"prefill 8192", 1, 8192, 0}, kernels, kEverySplit, 20);
    BenchCase(bench, {"prefill 32768", 1, 32768, 0}, kernels, kEverySplit, 5);
    BenchCase(bench, {"64 tokens at 8192", 1, 64, 8128}, kernels, kEverySplit, 20);
  }
}

}  // namespace quire::kernels::cuda
