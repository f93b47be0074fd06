// The sum over the ranks of one host, in place, on all of them. Any stream; grids by AllReduceGrid. One turn
// reads all parts and sums them; of much, each rank sums a range and the others read that. What always holds:
// the order of each element's sum is rank_order.h's, whichever of the two it is and however it is cut.
#pragma once

#include "kernels/cuda/collective/peer_turns.h"
#include "kernels/cuda/collective/rank_order.h"

namespace quire::kernels::cuda {

struct AllReduceKernel {
  struct Params {
    PeerLinks links;
    float* x;       // 16-byte aligned
    int64_t words;  // of four floats
    bool by_ranges;
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr bool kMeetsPeers = true;

  static QUIRE_DEVICE void Run(const Params& p) {
    WaitForPriorKernel();
    AllReduceKernel(p).SumAll();
    LetNextKernelStart();
  }

 private:
  QUIRE_DEVICE explicit AllReduceKernel(const Params& params) : p(params), turns(params.links) {}

  QUIRE_DEVICE void SumAll() {
    const int64_t half_words = p.links.half_bytes / 16, blocks = GridSize().x;
    for (int64_t base = 0; base < p.words; base += blocks * half_words) {
      const int64_t rest = p.words - base, here = rest < blocks * half_words ? rest : blocks * half_words;
      const int64_t share = (here + blocks - 1) / blocks, first = BlockIndex().x * share;
      const int64_t end = first + share < here ? first + share : here;
      const int count = first < end ? static_cast<int>(end - first) : 0;
      std::byte* const x = reinterpret_cast<std::byte*>(p.x) + (base + first) * 16;
      if (!(p.by_ranges ? SumByRanges(x, count) : SumAtOnce(x, count))) return;
    }
    turns.Keep();
  }

  QUIRE_DEVICE bool SumAtOnce(std::byte* x, int words) {
    CopyWords(turns.Half(p.links.rank, 0), x, 0, words);
    if (!turns.Meet(0)) return false;
    SumWords(x, 0, words);
    turns.Pass(1);
    return true;
  }

  // The other half is free: what was read of it was read before the others' first flag.
  QUIRE_DEVICE bool SumByRanges(std::byte* x, int words) {
    const int range = (words + p.links.ranks - 1) / p.links.ranks, first = p.links.rank * range;
    CopyWords(turns.Half(p.links.rank, 0), x, 0, words);
    if (!turns.Meet(0)) return false;
    SumWords(turns.Half(p.links.rank, 1), first, first + range < words ? first + range : words);
    if (!turns.Meet(1)) return false;
    for (int rank = 0; rank < p.links.ranks; ++rank) {
      const int begin = rank * range, end = begin + range < words ? begin + range : words;
      CopyWords(x, turns.Half(rank, 1), begin, end);
    }
    turns.Pass(2);
    return true;
  }

  static QUIRE_DEVICE void CopyWords(std::byte* to, const std::byte* from, int begin, int end) {
    for (int i = begin + ThreadIndex(); i < end; i += kThreads) Store128(to + i * 16, Load128(from + i * 16));
  }

  struct Shown {
    const PeerTurns& turns;
    QUIRE_DEVICE const std::byte* operator()(int rank) const { return turns.Half(rank, 0); }
  };
  QUIRE_DEVICE void SumWords(std::byte* to, int begin, int end) const {
    SumWordsOfRanks(Shown{turns}, p.links.ranks, to, begin + ThreadIndex(), end, kThreads);
  }

  const Params& p;
  PeerTurns turns;
};

}  // namespace quire::kernels::cuda
