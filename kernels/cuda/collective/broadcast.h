// Rank 0's words on every rank of one host: it shows them, a piece in each turn, and the others copy them.
// Any stream; one block.
#pragma once

#include "kernels/cuda/collective/peer_turns.h"

namespace quire::kernels::cuda {

struct BroadcastKernel {
  struct Params {
    PeerLinks links;
    uint32_t* words;
    int count;
  };
  static constexpr int kThreads = 128, kMinBlocks = 1;
  static constexpr bool kMeetsPeers = true;

  static QUIRE_DEVICE void Run(const Params& p) {
    PeerTurns turns(p.links);
    const int piece = p.links.half_bytes / 4;
    for (int first = 0; first < p.count; first += piece) {
      const int here = p.count - first < piece ? p.count - first : piece;
      uint32_t* const shown = reinterpret_cast<uint32_t*>(turns.Half(0, 0));
      if (p.links.rank == 0) Copy(shown, p.words + first, here);
      if (!turns.Meet(0)) return;
      if (p.links.rank > 0) Copy(p.words + first, shown, here);
      turns.Pass(1);
    }
    turns.Keep();
  }

 private:
  static QUIRE_DEVICE void Copy(uint32_t* to, const uint32_t* from, int count) {
    for (int i = ThreadIndex(); i < count; i += kThreads) to[i] = from[i];
  }
};

}  // namespace quire::kernels::cuda
