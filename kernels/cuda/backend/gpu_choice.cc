#include "kernels/cuda/backend/gpu_choice.h"

#include "absl/strings/str_cat.h"
#include "kernels/cuda/rows.h"

namespace quire::kernels::cuda {

std::string WhyNoAttention(int64_t head_dim) {
  if (head_dim == 64 || head_dim == 128) return "";
  return absl::StrCat("attention on a GPU has heads of 64 or 128, not of ", head_dim);
}

std::string WhyNoSampling(int64_t ids) {
  if (ids <= SampleRows::kMostIds) return "";
  return absl::StrCat("a GPU samples from ", SampleRows::kMostIds, " ids at most, not from ", ids);
}

std::string WhyNotServed(const DeviceDemand& demand) {
  if (std::string why = WhyNoAttention(demand.head_dim); !why.empty()) return why;
  if (demand.hidden % 8 != 0 || demand.ffn % 8 != 0 || demand.hidden > AddRmsNormKernel<float>::kLongestRow) {
    return absl::StrCat("a GPU has kernels for a hidden size of up to ", AddRmsNormKernel<float>::kLongestRow,
                        ", a multiple of 8 as its FFN's is, not for ", demand.hidden, " and ", demand.ffn);
  }
  return WhyNoSampling(demand.vocab);
}

absl::StatusOr<DeviceChoice> OneForEachRank(DeviceChoice found, const DeviceDemand& demand) {
  if (demand.ranks_here > found.count) {
    return absl::UnavailableError(absl::StrCat("a group of ", demand.ranks_here,
                                               " ranks on this host takes as many GPUs, and there are ",
                                               found.count, ": give --tensor-parallel ", found.count));
  }
  found.index = static_cast<int>(demand.rank_here);
  absl::StrAppend(&found.reason, ", number ", found.index, " of ", found.count);
  return found;
}

}  // namespace quire::kernels::cuda
