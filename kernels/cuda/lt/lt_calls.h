// cuBLASLt as we call it, in types of our own: what opens the library (lt_products.cc) fills it in, and
// tests do, with one whose algorithms, times and failures are made up. Plain data and an interface; one
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/lt/lt_product.h"

namespace quire::kernels::cuda {

class Stream;

// What an algorithm is, in the library's numbers (CUBLASLT_ALGO_CONFIG_*): two of one shape that have all of
// them in common are one.
struct LtConfig {
  int32_t id = 0, tile = 0, split_k = 0, reduction = 0, swizzle = 0, option = 0, stages = 0, inner_shape = 0,
          cluster_shape = 0;
  auto operator<=>(const LtConfig&) const = default;
};

// For people.
inline std::string NameOf(const LtConfig& c) {
  return "id" + std::to_string(c.id) + " tile" + std::to_string(c.tile) + " stages" +
         std::to_string(c.stages) + " cluster" + std::to_string(c.cluster_shape) + " splitk" +
         std::to_string(c.split_k) + " option" + std::to_string(c.option);
}

struct LtAlgorithm {
  LtConfig config;
  std::array<uint64_t, 8> opaque{};  // the library's own
};

// Products of one shape.
class LtOperation {
 public:
  virtual ~LtOperation() = default;
  // Those without split-K, the library's first choice first.
  virtual std::vector<LtAlgorithm> Offers() = 0;
  virtual bool Supports(const LtAlgorithm& algorithm) = 0;
  // False: nothing was enqueued.
  virtual bool Run(const LtAlgorithm& algorithm, const LtProduct& product, Stream& stream) = 0;
  // Runs it a few times, and waits; none where it can't run.
  virtual std::optional<double> TimeUs(const LtAlgorithm& algorithm, const LtProduct& product,
                                       Stream& stream) = 0;
};

struct LtCalls {
  size_t version = 0;
  // Null where the library takes no such shape.
  std::function<std::unique_ptr<LtOperation>(const LtShape& shape)> open;
  std::function<bool(Stream& stream)> is_captured;
};

}  // namespace quire::kernels::cuda
