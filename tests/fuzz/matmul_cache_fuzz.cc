// Any bytes as the file of matmuls that an earlier start chose: refused, or what is written again just so.
// With a first byte that is odd the rest is taken for its lines, under the sum that belongs to them.
#include <cstdlib>
#include <string>

#include "base/core/hash.h"
#include "kernels/cuda/lt/lt_cache.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using quire::kernels::cuda::LtCacheKey;
  if (size == 0) return 0;
  const LtCacheKey key{"NVIDIA H100 80GB HBM3", "9.0", 13000, 130100};
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 1) {
    text = LtCacheHead(key) + text;
    text += "sum " + quire::ToHex(quire::Sha256(text)) + "\n";
  }
  const auto kept = ReadLtCache(text, key);
  if (!kept.ok()) return 0;
  if (kept->size() > quire::kernels::cuda::kMostLtCacheShapes) std::abort();
  const auto again = ReadLtCache(WriteLtCache(key, *kept), key);
  if (!again.ok() || *again != *kept) std::abort();
  return 0;
}
