// What a start chose of cuBLASLt's algorithms, as text for the next one: a line that says the format, one
// that says what it holds for (the GPU, the driver, the library), a line for each shape, and a sum over all
// of it. Nobody vouches for such a file: what is torn, foreign, too large or otherwise unlike what is written
// here is refused whole. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/cuda/lt/lt_choices.h"

namespace quire::kernels::cuda {

// What times hang on.
struct LtCacheKey {
  std::string device;      // its name
  std::string capability;  // 9.0
  int driver = 0;          // the CUDA that it is for
  size_t library = 0;      // cuBLASLt's version
};

inline constexpr size_t kMostLtCacheBytes = size_t{1} << 20, kMostLtCacheShapes = 4096;

// The first lines of a file for this key.
std::string LtCacheHead(const LtCacheKey& key);
std::string WriteLtCache(const LtCacheKey& key, const LtKept& kept);
// InvalidArgument says what is wrong.
absl::StatusOr<LtKept> ReadLtCache(std::string_view text, const LtCacheKey& key);

}  // namespace quire::kernels::cuda
