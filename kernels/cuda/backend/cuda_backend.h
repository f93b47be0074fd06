// The backend of one NVIDIA GPU: kernels/backend.h over the kernels of this folder's neighbours, on one
// stream. Under g++ the same source runs on fibers, in host memory: what every test runs. One engine thread
// calls it; what goes wrong on the device comes out of what waits (ReadSampled, ReadRows, Finish) and stays.
// What always holds: a row's bits are those of its own inputs, whatever the batch, as far as the Gemm keeps
// one order of sums.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/gemm.h"

namespace quire::kernels::cuda {

// The stream's device is the one that is in use. Shapes: rows of a multiple of 8, heads of 64 or 128.
std::unique_ptr<Backend> MakeCudaBackend(Stream stream, std::unique_ptr<Gemm> gemm);

}  // namespace quire::kernels::cuda
