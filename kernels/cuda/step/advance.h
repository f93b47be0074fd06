// Between two decode steps, on the device: what was sampled becomes the next step's ids, and each sequence
// stands one position further, in the same plan and table (StepsOfPlan says how long that holds).
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct AdvanceKernel {
  struct Params {
    const int* sampled_ids;
    int32_t *ids, *positions, *slots;
    AttentionSequence* sequences;
    const int32_t* tables;
    int count;
  };
  static constexpr int kThreads = 64, kMinBlocks = 1;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    for (int i = ThreadIndex(); i < p.count; i += kThreads) {
      const int id = p.sampled_ids[i], position = p.positions[i] + 1;
      p.ids[i] = id < 0 ? 0 : id;  // a row that failed goes on harmlessly; whoever reads the ids sees -1
      p.positions[i] = position;
      p.sequences[i].position = position;
      p.slots[i] =
          p.tables[p.sequences[i].first_page + position / kPageKeys] * kPageKeys + position % kPageKeys;
    }
  }
};

}  // namespace quire::kernels::cuda
