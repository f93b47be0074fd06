// What a render may still cost. One per render, on its thread; the interpreter and every operation that loops
// over values pay into it. Always: nothing that a template can ask for runs on once kMaxSteps are spent.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace quire::gateway::jinja {

// A node is a step, and so are every kBytesPerStep that it makes or looks through.
inline constexpr int64_t kMaxSteps = 10'000'000;
inline constexpr size_t kBytesPerStep = 32;

class Meter {
 public:
  absl::Status Spend(int64_t steps) {
    steps_ += steps;
    if (steps_ <= kMaxSteps) return absl::OkStatus();
    return absl::InvalidArgumentError("rendering takes too many steps; shorten the conversation");
  }
  absl::Status SpendBytes(size_t bytes) { return Spend(static_cast<int64_t>(bytes / kBytesPerStep)); }

 private:
  int64_t steps_ = 0;
};

}  // namespace quire::gateway::jinja
