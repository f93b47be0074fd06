// What may end an Encode before its text does: a bound on the result, and a client that has left. Plain data,
// one per call. Always: a text that gives at most max_tokens ids is never refused for its length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace quire::gateway {

struct EncodeLimits {
  size_t max_tokens = SIZE_MAX;                       // RESOURCE_EXHAUSTED beyond
  std::function<bool()> gone = [] { return false; };  // asked every few milliseconds; CANCELLED
};

}  // namespace quire::gateway
