#include "kernels/cuda/rows.h"
#include "kernels/cuda/testing/bench.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {

// QwQ-32B's widths.
void BenchRows(Bench& bench) {
  constexpr int kHidden = 5120, kFfn = 27648, kVocab = 4096, kMost = 8192;
  Stream& stream = bench.stream();
  uint16_t* delta = NewRandomBf16(stream, size_t{kMost} * kHidden, 1);
  uint16_t* gate_up = NewRandomBf16(stream, size_t{kMost} * 2 * kFfn, 2);
  auto* x = static_cast<float*>(AllocateDevice(stream, size_t{kMost} * kHidden * 4));
  auto* out = static_cast<uint16_t*>(AllocateDevice(stream, size_t{kMost} * kFfn * 2));
  std::vector<float> ones(kHidden, 1);
  std::vector<int32_t> ids;
  for (int i = 0; i < kMost; ++i) ids.push_back(i * 37 % kVocab);
  auto* weight = static_cast<float*>(AllocateDevice(stream, kHidden * 4));
  auto* id_memory = static_cast<int32_t*>(AllocateDevice(stream, kMost * 4));
  CopyToDevice(stream, weight, ones.data(), kHidden * 4);
  CopyToDevice(stream, id_memory, ids.data(), kMost * 4);
  for (const int tokens : {1, 32, 1024, 8192}) {
    const std::string shape = std::to_string(tokens) + " tokens";
    const double elements = 1.0 * tokens * kHidden;
    bench.Measure("embed", shape, elements * 6, 0, [&](Stream& s) {
      Embed(s, tokens, {delta, id_memory, 0, kVocab, kHidden, x});
    });
    bench.Measure("add_rms_norm bf16", shape, elements * 12, 0, [&](Stream& s) {
      AddRmsNorm<uint16_t>(s, tokens, {x, delta, weight, out, kHidden, 1e-5f});
    });
    bench.Measure("silu_mul bf16", shape, 1.0 * tokens * kFfn * 6, 0, [&](Stream& s) {
      SiluMul<uint16_t>(s, tokens, {gate_up, out, kFfn});
    });
  }
  for (void* memory : {static_cast<void*>(delta), static_cast<void*>(gate_up), static_cast<void*>(x),
                       static_cast<void*>(out), static_cast<void*>(weight), static_cast<void*>(id_memory)}) {
    FreeDevice(memory);
  }
}

}  // namespace quire::kernels::cuda
