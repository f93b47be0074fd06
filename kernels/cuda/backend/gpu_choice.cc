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

std::string GpuId(const char* uuid) {
  std::string id = "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    absl::StrAppend(&id, absl::Hex(static_cast<unsigned char>(uuid[i]), absl::kZeroPad2));
  }
  return id;
}

}  // namespace quire::kernels::cuda
