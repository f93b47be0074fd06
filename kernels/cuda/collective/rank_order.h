// How the parts of ranks are summed on a GPU, whoever brought them: element by element in the order of
// worker/parallel/rank_sum.h, a binary tree of 2, 4 and 8 ranks, one after another of other numbers. Device
// code, any thread; each thread sums words of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

QUIRE_DEVICE void AddFloats(Word128& sum, const Word128& more) {
  QUIRE_UNROLL
  for (int i = 0; i < 4; ++i) sum.word[i] = FloatToBits(BitsToFloat(sum.word[i]) + BitsToFloat(more.word[i]));
}

template <int kRanks, typename PartOf>
QUIRE_DEVICE void SumTreeOfRanks(const PartOf& part_of, std::byte* to, int first, int end, int step) {
  for (int i = first; i < end; i += step) {
    Word128 part[kRanks];
    QUIRE_UNROLL
    for (int rank = 0; rank < kRanks; ++rank) part[rank] = Load128(part_of(rank) + int64_t{i} * 16);
    QUIRE_UNROLL
    for (int apart = 1; apart < kRanks; apart *= 2) {
      QUIRE_UNROLL
      for (int rank = 0; rank + apart < kRanks; rank += 2 * apart) AddFloats(part[rank], part[rank + apart]);
    }
    Store128(to + int64_t{i} * 16, part[0]);
  }
}

// Words of four floats, `first`, first + step and so on before `end`, of all parts into `to`. part_of(rank):
// where a rank's words begin.
template <typename PartOf>
QUIRE_DEVICE void SumWordsOfRanks(const PartOf& part_of, int ranks, std::byte* to, int first, int end,
                                  int step) {
  if (ranks == 2) return SumTreeOfRanks<2>(part_of, to, first, end, step);
  if (ranks == 4) return SumTreeOfRanks<4>(part_of, to, first, end, step);
  if (ranks == 8) return SumTreeOfRanks<8>(part_of, to, first, end, step);
  for (int i = first; i < end; i += step) {
    Word128 sum = Load128(part_of(0) + int64_t{i} * 16);
    for (int rank = 1; rank < ranks; ++rank) AddFloats(sum, Load128(part_of(rank) + int64_t{i} * 16));
    Store128(to + int64_t{i} * 16, sum);
  }
}

// Of parts that stand one behind the other in this rank's own memory.
struct SumPartsKernel {
  struct Params {
    const std::byte* parts;  // [ranks][words], 16-byte aligned
    std::byte* to;           // [words]; none of the parts
    int ranks, words;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;

  struct Part {
    const Params& p;
    QUIRE_DEVICE const std::byte* operator()(int rank) const {
      return p.parts + int64_t{rank} * p.words * 16;
    }
  };
  static QUIRE_DEVICE void Run(const Params& p) {
    WaitForPriorKernel();
    SumWordsOfRanks(Part{p}, p.ranks, p.to, BlockIndex().x * kThreads + ThreadIndex(), p.words,
                    GridSize().x * kThreads);
    LetNextKernelStart();
  }
};

}  // namespace quire::kernels::cuda
