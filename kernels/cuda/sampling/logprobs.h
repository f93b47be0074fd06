// Logprobs of a row of raw, finite logits: the bits of kernels/sampling/sampler.cc. One block of threads owns
// it; every thread calls each function, and each ends with a barrier. What always holds: the likeliest ids
// are taken one by one, each the best of what is left of its block of 64; so the row is read once for the
// best of all blocks, and then one block for each id.
#pragma once

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/sampling/block_best.h"
#include "kernels/cuda/sampling/block_sums.h"
#include "kernels/cuda/sampling/fixed_exp.h"
#include "kernels/cuda/sampling/fixed_log.h"
#include "kernels/cuda/sampling/sample_rule.h"

namespace quire::kernels::cuda {

QUIRE_DEVICE float Logprob(float logit, double log_total) {
  return static_cast<float>(static_cast<double>(logit) - log_total);
}

template <int kThreads>
struct Logprobs {
  static constexpr int kBlock = BlockSums<kThreads>::kBlock;
  struct Shared {
    float value[kMostTopLogprobs];
    int id[kMostTopLogprobs];
  };

  // ln of the sum of e^logit; `top` is the largest one.
  QUIRE_DEVICE double LogTotal(float top) const {
    sums.Fill([this, top](int id) { return id < vocabulary ? FixedExpOfNegative(logits[id] - top) : 0.0f; });
    return static_cast<double>(top) + FixedLogOfPositive(sums.AddAll());
  }

  // The likeliest into `out`: as many as there are, `count` at most.
  QUIRE_DEVICE void FindTop(int count, double log_total, SampledRow* out) const {
    if (count > vocabulary) count = vocabulary;
    sums.FillLargest([this](int id) { return LogitAt(id); });
    for (int taken = 0; taken < count; ++taken) {
      Best mine = {BitsToFloat(kMinusInfinityBits), kNoId};
      for (int block = sums.thread; block < sums.blocks; block += kThreads) {
        const Best other = {sums.sums[block], block};
        if (IsBetter(other, mine)) mine = other;
      }
      const int block = best.Of(mine).id;
      if (WarpIndex() == 0) Take(block, taken);
      SyncBlock();
    }
    if (sums.thread < count) {
      out->top_ids[sums.thread] = shared->id[sums.thread];
      out->top_logprobs[sums.thread] = Logprob(shared->value[sums.thread], log_total);
    }
    if (sums.thread == 0) out->top_count = count;
    SyncBlock();
  }

  QUIRE_DEVICE float LogitAt(int id) const {
    return id < vocabulary ? logits[id] : BitsToFloat(kMinusInfinityBits);
  }

  // The best of what is left of a block becomes shared's next one. By one warp, two ids a lane.
  QUIRE_DEVICE void Take(int block, int taken) const {
    constexpr int kOfLane = kBlock / kWarpLanes;
    Best mine[kOfLane];
    for (int i = 0; i < kOfLane; ++i) {
      const int id = block * kBlock + i * kWarpLanes + LaneIndex();
      mine[i] = {LogitAt(id), id};
      for (int j = 0; j < taken; ++j) {
        if (shared->id[j] == id) mine[i].value = BitsToFloat(kMinusInfinityBits);
      }
    }
    Best lanes = mine[0];
    for (int i = 1; i < kOfLane; ++i) lanes = IsBetter(mine[i], lanes) ? mine[i] : lanes;
    const Best found = BestOfWarp(lanes);
    float left = BitsToFloat(kMinusInfinityBits);
    for (int i = 0; i < kOfLane; ++i) {
      if (mine[i].id != found.id && mine[i].value > left) left = mine[i].value;
    }
    left = BestOfWarp({left, 0}).value;
    if (LaneIndex() == 0) {
      shared->value[taken] = found.value;
      shared->id[taken] = found.id;
      sums.sums[block] = left;
    }
  }

  const float* logits;
  int vocabulary;
  const BlockSums<kThreads>& sums;
  const BlockBest& best;
  Shared* shared;
};

}  // namespace quire::kernels::cuda
