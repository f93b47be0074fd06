// The worker sampler's sums on the device: fp32 sums of blocks of 64 weights (16 lanes first, then halves of
// lanes), added up as doubles one after another. One block of threads owns it; every thread calls each
// function, and each ends with a barrier. What always holds: the bits are those of
// kernels/sampling/sampler.cc.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

inline constexpr uint32_t kMinusInfinityBits = 0xff800000u, kPlusInfinityBits = 0x7f800000u;

template <int kThreads>
struct BlockSums {
  static constexpr int kBlock = 64;
  struct Shared {
    double sum, before;
    double partial[kThreads];
    int block;
  };

  // sums[b] = the sum of value(id) over block b: 16 lanes first, then halves of lanes.
  template <typename Value>
  QUIRE_DEVICE void Fill(const Value& value) const {
    Fold(value, 0.0f, [](float a, float b) { return a + b; });
  }
  // sums[b] = the largest value(id) of block b.
  template <typename Value>
  QUIRE_DEVICE void FillLargest(const Value& value) const {
    Fold(value, BitsToFloat(kMinusInfinityBits), [](float a, float b) { return b > a ? b : a; });
  }
  template <typename Value, typename Combine>
  QUIRE_DEVICE void Fold(const Value& value, float nothing, const Combine& combine) const {
    constexpr int kAtOnce = 4, kHalves = kThreads / 16;
    const int half = thread / 16, j = thread % 16;
    for (int first = half / 2 * 2; first < blocks; first += kAtOnce * kHalves) {
      float mine[kAtOnce];
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int block = first + half % 2 + i * kHalves;
        mine[i] = nothing;
        QUIRE_UNROLL
        for (int r = 0; r < kBlock / 16; ++r) {
          mine[i] = combine(mine[i], block < blocks ? value(block * kBlock + r * 16 + j) : nothing);
        }
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        for (int mask = 8; mask > 0; mask /= 2) mine[i] = combine(mine[i], ShuffleXor(mine[i], mask));
        const int block = first + half % 2 + i * kHalves;
        if (j == 0 && block < blocks) sums[block] = mine[i];
      }
    }
    SyncBlock();
  }

  // One thread adds the blocks up in order, as doubles, until the sum is above `limit`. In shared: sum, and
  // the last block that was added with the sum before it.
  QUIRE_DEVICE void AddUpTo(double limit) const {
    if (thread == 0) {
      constexpr int kAtOnce = 8;
      double sum = 0, before = 0;
      int at = 0, last = 0;
      for (; at + kAtOnce <= blocks; at += kAtOnce) {
        double ahead = sum;
        QUIRE_UNROLL
        for (int i = 0; i < kAtOnce; ++i) ahead = ahead + static_cast<double>(sums[at + i]);
        if (ahead > limit) break;
        sum = ahead;
      }
      for (; at < blocks && sum <= limit; ++at) {
        if (sums[at] == 0) continue;
        last = at;
        before = sum;
        sum = sum + static_cast<double>(sums[at]);
      }
      if (sum <= limit) LastOfAll(last, before);
      shared->sum = sum;
      shared->before = before;
      shared->block = last;
    }
    SyncBlock();
  }
  // Where rounding left the limit unreached, the last block that weighs anything stands for the difference.
  QUIRE_DEVICE void LastOfAll(int& last, double& before) const {
    double sum = 0;
    for (int at = 0; at < blocks; ++at) {
      if (sums[at] == 0) continue;
      last = at;
      before = sum;
      sum = sum + static_cast<double>(sums[at]);
    }
  }
  QUIRE_DEVICE double AddAll() const {
    if (thread == 0) {
      double sum = 0;
      int at = 0;
      for (; at + 8 <= blocks; at += 8) {
        QUIRE_UNROLL
        for (int i = 0; i < 8; ++i) sum = sum + static_cast<double>(sums[at + i]);
      }
      for (; at < blocks; ++at) sum = sum + static_cast<double>(sums[at]);
      shared->sum = sum;
    }
    SyncBlock();
    const double sum = shared->sum;
    SyncBlock();
    return sum;
  }
  // The same sum in another order: right to within a few parts in 1e13, and much faster.
  QUIRE_DEVICE double NearlyAddAll() const {
    double sum = 0;
    for (int at = thread; at < blocks; at += kThreads) sum = sum + static_cast<double>(sums[at]);
    shared->partial[thread] = sum;
    SyncBlock();
    for (int width = kThreads / 2; width > 0; width /= 2) {
      if (thread < width) shared->partial[thread] = shared->partial[thread] + shared->partial[thread + width];
      SyncBlock();
    }
    sum = shared->partial[0];
    SyncBlock();
    return sum;
  }

  float* sums;  // of each block, in shared memory
  Shared* shared;
  int blocks, thread;
};

}  // namespace quire::kernels::cuda
