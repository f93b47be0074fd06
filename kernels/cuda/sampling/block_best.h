// The largest of a row's values and the id where it stands, of all threads of a block; ties go to the lowest
// id, and NaNs to nobody. One block of threads owns it; every thread calls Of, which ends with a barrier.
#pragma once

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct Best {
  float value;
  int id;
};

inline constexpr int kNoId = 0x7fffffff;

QUIRE_DEVICE bool IsBetter(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// To every lane.
QUIRE_DEVICE Best BestOfWarp(Best mine) {
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) {
    const Best other = {ShuffleXor(mine.value, mask), ShuffleXor(mine.id, mask)};
    if (IsBetter(other, mine)) mine = other;
  }
  return mine;
}

struct BlockBest {
  struct Shared {
    float value[kWarpLanes];
    int id[kWarpLanes];
  };

  // To every thread; a block has as many warps as a warp has lanes.
  QUIRE_DEVICE Best Of(Best mine) const {
    const int lane = LaneIndex();
    mine = BestOfWarp(mine);
    if (lane == 0) {
      shared->value[WarpIndex()] = mine.value;
      shared->id[WarpIndex()] = mine.id;
    }
    SyncBlock();
    mine = BestOfWarp({shared->value[lane], shared->id[lane]});
    SyncBlock();
    return mine;
  }

  Shared* shared;
};

}  // namespace quire::kernels::cuda
