#include "kernels/cuda/rope.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/data.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {

void BenchRope(Bench& bench) {
  constexpr int kQuery = 40, kKv = 8, kDim = 128, kMost = 8192, kWidth = (kQuery + 2 * kKv) * kDim;
  Stream& stream = bench.stream();
  uint16_t* qkv = NewRandomBf16(stream, size_t{kMost} * kWidth, 1);
  const Buffer<float> table(stream, RandomFloats(size_t{kMost} * kDim, 2)),
      bias(stream, RandomFloats(kWidth, 3));
  std::vector<int32_t> in_order;
  for (int i = 0; i < kMost; ++i) in_order.push_back(i);
  const Buffer<int32_t> positions(stream, in_order);
  const Buffer<uint16_t> q(stream, size_t{kMost} * kQuery * kDim),
      pages(stream, size_t{kMost} * kKv * 2 * kDim);
  for (const int tokens : {1, 32, 1024, 8192}) {
    bench.Measure("rope_store bf16", std::to_string(tokens) + " tokens", 4.0 * tokens * kWidth, 0,
                  [&](Stream& s) {
                    RopeAndStore<uint16_t>(s, tokens,
                                           {qkv, bias.data(), table.data(), positions.data(),
                                            positions.data(), q.data(), pages.data(), kQuery, kKv, kDim});
                  });
  }
  FreeDevice(qkv);
}

}  // namespace quire::kernels::cuda
