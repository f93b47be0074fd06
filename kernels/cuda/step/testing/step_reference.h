// The whole step of a generated model in plain loops and doubles, on the host: what every composition of
// kernels is compared with. Values are rounded to bf16 where the step rounds them. For small shapes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/step/shape.h"

namespace quire::kernels::cuda {

// Logits behind the last of `ids`, which stand at positions 0, 1, ...
std::vector<double> ReferenceLogits(const StepShape& shape, uint32_t seed, std::span<const int32_t> ids);

}  // namespace quire::kernels::cuda
