// The numbers of a checkpoint's tensors as a backend takes them: a matrix in bf16, a vector in fp32, whatever
// the file has. Pure functions over mapped files; called while weights are loaded, by who loads.
#pragma once

#include <cstdint>

#include "worker/model/safetensors.h"
#include "worker/model/weight_plan.h"

namespace quire::worker {

float ElementAt(const StoredTensor& tensor, int64_t index);

// Whether it can be taken as it lies: bf16 at an even address.
bool IsBf16InPlace(const StoredTensor& tensor);

// out [rows, cols] = the slice, each number rounded to nearest, ties to even. On up to `threads` threads:
// what a checkpoint in fp32 holds is converted as it is read.
void ConvertToBf16(const StoredTensor& tensor, const TensorSlice& slice, int threads, uint16_t* out);

}  // namespace quire::worker
