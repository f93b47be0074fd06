// What is known of serving by a GPU before anything is loaded: which models have kernels, what the backend
// takes of memory beside their weights, and what a GPU is called. Shared by the libraries that offer a GPU
// (plugin.cu, testing/fiber_plugin.cc) and the backend, which asks the same again. Pure; any thread.
#pragma once

#include <string>

#include "kernels/backend_factory.h"
#include "kernels/cuda/backend/device_sampler.h"
#include "kernels/cuda/backend/device_step.h"
#include "kernels/cuda/backend/weight_stream.h"
#include "kernels/cuda/collective/nccl_calls.h"

namespace quire::kernels::cuda {

// cuBLASLt's workspace, attention's partial results, what ranks meet in, graphs and the context;
// MatmulSiluMul's products in bf16; eight leaves of 1024 rows; NCCL's own buffers, wherever it may come to be
// used; what the sampler takes. Of the host, pinned memory for two steps, and what weights
// go through.
inline constexpr DeviceScratch kScratch{
    .fixed_bytes = (int64_t{512} << 20) + DeviceSampler::kFixedBytes,
    .token_bytes_per_ffn = 2 * 2,
    .bytes_per_hidden = int64_t{8} * 1024 * 4,
    .group_bytes = kNcclRingBytes + kNcclOtherBytes,
    .group_bytes_per_doubling = kNcclDoublingBytes,
    .row_bytes = DeviceSampler::kRowBytes,
    .row_bytes_per_run = DeviceSampler::kRunBytes,
    .host_fixed_bytes = DeviceSampler::kPinnedFixedBytes + DeviceStep::kPinnedFixedBytes +
                        WeightStream::kBuffers * static_cast<int64_t>(WeightStream::kBufferBytes),
    .host_row_bytes = DeviceSampler::kPinnedRowBytes + DeviceStep::kPinnedRowBytes,
    .host_row_bytes_per_run = DeviceSampler::kPinnedRunBytes,
    .host_token_bytes = DeviceStep::kPinnedTokenBytes,
    .host_sequence_bytes = DeviceStep::kPinnedSequenceBytes,
    .host_block_bytes = DeviceStep::kPinnedBlockBytes,
};

// Why there is no attention for heads of so many, no sampling from so many ids; "": there is.
std::string WhyNoAttention(int64_t head_dim);
std::string WhyNoSampling(int64_t ids);

// Why no model of these sizes can be served; "": it can.
std::string WhyNotServed(const DeviceDemand& demand);

// A GPU's own name, of its 16 bytes, as CUDA_VISIBLE_DEVICES and nvidia-smi -L have it.
std::string GpuId(const char* uuid);

}  // namespace quire::kernels::cuda
