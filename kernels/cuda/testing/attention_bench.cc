#include <algorithm>
#include <numeric>

#include "kernels/cuda/testing/attention_world.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

struct Case {
  std::string shape;
  int sequences, tokens, position;  // of each
};

void BenchCase(Bench& bench, const Case& c, int repeats) {
  Stream& stream = bench.stream();
  const int length = c.position + c.tokens, pages = (length + kPageKeys - 1) / kPageKeys;
  std::vector<int32_t> blocks(static_cast<size_t>(pages) * c.sequences);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(3));
  const size_t width = size_t{kQwqHeads} * kQwqDim, tokens = static_cast<size_t>(c.sequences) * c.tokens;
  uint16_t* kv = NewRandomBf16(stream, blocks.size() * PageOffset(1, kQwqKvHeads, 0, kQwqDim), 5);
  uint16_t* q = NewRandomBf16(stream, tokens * width, 6);
  auto* out = static_cast<uint16_t*>(AllocateDevice(stream, tokens * width * 2));
  std::vector<AttentionSpan> spans;
  for (int i = 0; i < c.sequences; ++i) {
    spans.push_back({i * c.tokens, c.tokens, c.position,
                     std::span(blocks).subspan(static_cast<size_t>(i) * pages, pages)});
  }
  const AttentionPlan plan = PlanOrRecord(stream, spans,
                                          {.group = kQwqHeads / kQwqKvHeads,
                                           .kv_heads = kQwqKvHeads,
                                           .wide_rows = AttentionWideKernel<kQwqDim>::kRows,
                                           .narrow_blocks = 2 * bench.multiprocessors(),
                                           .wide_blocks = bench.multiprocessors()});
  const PlannedAttention planned(stream, plan, kQwqDim);
  const AttentionParams params = planned.Params(q, kv, out, kQwqHeads, kQwqKvHeads, kQwqDim);
  // Pairs of (row, key); K and V are read once by a perfect kernel, q read and out written.
  const double pairs = 1.0 * c.sequences * c.tokens * (c.position + (c.tokens + 1) / 2.0) * kQwqHeads;
  const double bytes = 4.0 * c.sequences * length * kQwqKvHeads * kQwqDim + 4.0 * tokens * width;
  bench.Measure(
      "attention", c.shape, bytes, pairs * 4 * kQwqDim,
      [&](Stream& s) { Attention<kQwqDim>(s, params, planned.Work()); }, repeats);
  FreeDevice(kv);
  FreeDevice(q);
  FreeDevice(out);
}

std::vector<Case> Decodes() {
  std::vector<Case> cases;
  for (const int length : {1024, 8192}) {
    for (const int batch : {1, 8, 32, 128}) {
      if (batch * length > 300000) continue;  // more KV than a layer has
      cases.push_back({"decode, batch " + std::to_string(batch) + ", context " + std::to_string(length),
                       batch, 1, length - 1});
    }
  }
  cases.push_back({"decode, batch 1, context 32768", 1, 1, 32767});
  cases.push_back({"decode, batch 1, context 131072", 1, 1, 131071});
  return cases;
}

std::vector<Case> Prefills() {
  std::vector<Case> cases;
  for (const int length : {1024, 8192, 32768}) {
    cases.push_back({"prefill " + std::to_string(length), 1, length, 0});
  }
  cases.push_back({"64 tokens at 8192", 1, 64, 8128});
  cases.push_back({"2048 tokens at 30720", 1, 2048, 30720});
  return cases;
}

}  // namespace

void BenchAttention(Bench& bench) {
  for (const Case& c : Decodes()) BenchCase(bench, c, 30);
  for (const Case& c : Prefills()) BenchCase(bench, c, c.tokens > 10000 ? 5 : 20);
}

}  // namespace quire::kernels::cuda
