// What tests of the CPU backend share, beside what all backends' tests do. Test-only, header only.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend_factory.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cpu {

inline std::unique_ptr<Backend> MakeCpu(const std::string& isa = "auto", int threads = 1, int spin_us = 0) {
  return MakeBackend({.device = "cpu", .threads = threads, .spin_us = spin_us, .isa = isa}).value();
}

// What tests run on that are made for each instruction set: AMX only where it is. Elsewhere its twin stands
// for it, and amx_test.cc says what isn't compared.
inline std::vector<std::string> TestedIsas() {
  std::vector<std::string> isas = {"avx2", "avx512", "amx-twin"};
  if (MakeBackend({.device = "cpu", .isa = "amx"}).ok()) isas.push_back("amx");
  return isas;
}

// An instruction set as a part of a test's name.
inline std::string TestNameOf(std::string isa) {
  std::replace(isa.begin(), isa.end(), '-', '_');
  return isa;
}

// Bits that include denormals, infinities, huge and tiny numbers.
inline std::vector<uint16_t> WildBf16(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint16_t> out = RandomBf16(count, seed);
  for (uint16_t& value : out) {
    const uint32_t kind = random() % 16;
    if (kind == 0) value = static_cast<uint16_t>(random() & 0x807f);          // denormal
    if (kind == 1) value = static_cast<uint16_t>((value & 0x80ff) | 0x0080);  // near the smallest normal
    if (kind == 2) value = static_cast<uint16_t>((value & 0x807f) | 0x1f80);  // squares to a denormal
  }
  if (seed % 2) out[seed % count] = 0x7f80;
  return out;
}

}  // namespace quire::kernels::cpu
