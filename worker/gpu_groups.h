// How a host's GPUs become groups: the fewest ranks that hold a model, and as many groups as GPUs are left
// for, of equal GPUs where that can be, neighbours in CUDA's order. Whoever starts groups asks once for all
// of them
// (--check) and hands each its own: so no two choose the same GPU, and one that starts again has those that
// it had. Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend_factory.h"

namespace quire::worker {

struct GpuGroups {
  int64_t ranks = 0;                     // of each, on this host
  std::vector<std::vector<int>> groups;  // places in the list of GPUs, by rank; no place stands twice
  std::vector<std::string> left;         // for people: which GPUs are in no group, and why
};

// Whether a GPU holds its part of a group of so many ranks, of as many groups on the host: the more, the
// less.
using GpuFits = std::function<absl::Status(int64_t ranks, int64_t groups, const kernels::DeviceChoice& gpu)>;

struct GpuWish {
  int64_t ranks = 0;       // of a group on this host; 0: the fewest of 1, 2, 4, ..., most_ranks
  int64_t most_ranks = 8;  // that the model can be split over
  int64_t groups = 0;      // 0: all that there are GPUs for
};

// `gpus` in CUDA's order. Unavailable: there are too few GPUs; else the error of `fits`.
absl::StatusOr<GpuGroups> ChooseGpuGroups(const std::vector<kernels::DeviceChoice>& gpus, const GpuWish& wish,
                                          const GpuFits& fits);

}  // namespace quire::worker
