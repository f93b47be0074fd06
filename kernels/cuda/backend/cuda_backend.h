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
#include "kernels/cuda/backend/device_sampler.h"
#include "kernels/cuda/collective/nccl_communicator.h"
#include "kernels/cuda/collective/peer_communicator.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/gemm.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

// cuBLASLt's workspace, attention's partial results, what ranks meet in, graphs and the context;
// MatmulSiluMul's products in bf16; eight leaves of 1024 rows; what the sampler takes.
inline constexpr DeviceScratch kScratch{
    .fixed_bytes = (int64_t{512} << 20) + DeviceSampler::kFixedBytes,
    .token_bytes_per_ffn = 2 * 2,
    .bytes_per_hidden = int64_t{8} * 1024 * 4,
    .row_bytes = DeviceSampler::kRowBytes,
    .row_bytes_per_run = DeviceSampler::kRunBytes,
    .host_fixed_bytes = DeviceSampler::kFixedBytes,
    .host_row_bytes = DeviceSampler::kPinnedRowBytes,
    .host_row_bytes_per_run = DeviceSampler::kPinnedRunBytes,
};

// Why no model of these sizes can be served; "": it can.
std::string WhyNotServed(const DeviceDemand& demand);

// A device for each of the group's ranks on this host, or Unavailable and how many there are. `found` counts
// them; it becomes that of `demand`'s rank.
absl::StatusOr<DeviceChoice> OneForEachRank(DeviceChoice found, const DeviceDemand& demand);

// The stream's device is the one that is in use. Shapes: rows of a multiple of 8, heads of 64 or 128.
// `where`: what bits may hang on beside the kernels here, a part of the family.
// `captures`: whether small steps become graphs.
std::unique_ptr<Backend> MakeCudaBackend(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                         const std::string& where, bool captures = true);

// With the communicator of its group, on the same stream. Every rank calls it.
absl::StatusOr<Device> MakeCudaDevice(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                      const std::string& where, Rendezvous& rendezvous,
                                      const PeerOptions& options = {}, const NcclOptions& nccl = {});

}  // namespace quire::kernels::cuda
