// The backend of one NVIDIA GPU: kernels/backend.h over the kernels of this folder's neighbours, on one
// stream. Under g++ the same source runs on fibers, in host memory: what every test runs. One engine thread
// calls it; what goes wrong on the device comes out of what waits (ReadSampled, ReadRows, Finish) and stays.
// What always holds: a row's bits are those of its own inputs, whatever the batch, as far as the Gemm keeps
// one order of sums.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/backend_factory.h"
#include "kernels/cuda/collective/nccl_communicator.h"
#include "kernels/cuda/collective/peer_communicator.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/gemm.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

// The stream's device is the one that is in use. Shapes: rows of a multiple of 8, heads of 64 or 128.
// `where`: what bits may hang on beside the kernels here, a part of the family.
// `captures`: whether small steps become graphs. load_threads: that read weights.
std::unique_ptr<Backend> MakeCudaBackend(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                         const std::string& where, bool captures = true,
                                         int load_threads = 1);

// With the communicator of its group, on the same stream. Every rank calls it.
absl::StatusOr<Device> MakeCudaDevice(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                      const std::string& where, Rendezvous& rendezvous,
                                      const PeerOptions& options = {}, const NcclOptions& nccl = {},
                                      int load_threads = 1);

}  // namespace quire::kernels::cuda
