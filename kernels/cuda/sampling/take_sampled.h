// Between two steps, on the device: rows of the next step get the ids that the step before sampled. One
// block; any stream, behind the sampling and the copy of the other rows' ids, before the step's kernels.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

// ids[row] = sampled[from].
struct SampledPlace {
  int32_t row, from;
};

struct TakeSampledKernel {
  struct Params {
    const int32_t* sampled;  // -1: that row failed
    const SampledPlace* places;
    int32_t* ids;
    int count;
  };
  static constexpr int kThreads = 128, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    for (int i = ThreadIndex(); i < p.count; i += kThreads) {
      const SampledPlace place = p.places[i];
      const int32_t id = p.sampled[place.from];
      p.ids[place.row] = id < 0 ? 0 : id;  // it goes on for nobody; whoever reads the tokens sees that
    }
  }
};

inline void TakeSampled(Stream& stream, const TakeSampledKernel::Params& params) {
  if (params.count > 0) Launch<TakeSampledKernel>(stream, {}, 0, params);
}

}  // namespace quire::kernels::cuda
