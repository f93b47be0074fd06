// What every communicator of GPUs asks of the tensors that it is given, and how many blocks work on them.
// Pure; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace quire::kernels::cuda {

inline absl::Status CheckSummed(Tensor x) {
  const bool dense = x.stride == x.cols || x.rows <= 1;
  if (x.dtype == DType::kF32 && dense && x.cols % 4 == 0) return absl::OkStatus();
  return absl::InternalError("an AllReduceSum on GPUs takes dense fp32 rows of a multiple of 4");
}

// On that rank; rank 0's rows get everybody's columns.
inline absl::Status CheckGathered(Tensor x, int rank, std::span<const int64_t> columns) {
  const int64_t all = std::accumulate(columns.begin(), columns.end(), int64_t{0});
  if (x.dtype == DType::kF32 && (rank == 0 ? all : columns[rank]) <= x.stride) return absl::OkStatus();
  return absl::InternalError("GatherColumns takes fp32 rows with room for what comes");
}

inline absl::Status CheckBroadcast(Tensor x) {
  if (x.dtype == DType::kF32 && x.rows == 1) return absl::OkStatus();
  return absl::InternalError("a Broadcast takes one row of 4-byte words");
}

// Four words of each thread, before there are more blocks.
template <typename Kernel>
int BlocksFor(int64_t words, int64_t most) {
  constexpr int64_t kWordsOfBlock = 4 * Kernel::kThreads;
  return static_cast<int>(std::clamp<int64_t>((words + kWordsOfBlock - 1) / kWordsOfBlock, 1, most));
}

}  // namespace quire::kernels::cuda
