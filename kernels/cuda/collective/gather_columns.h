// Rows whose columns the ranks of one host have in parts come together on rank 0: in each turn every rank
// shows a piece of its part, and rank 0 reads the others'. Any stream; the same grid on all ranks.
#pragma once

#include "kernels/cuda/collective/peer_turns.h"

namespace quire::kernels::cuda {

struct GatherColumnsKernel {
  struct Params {
    PeerLinks links;
    float* x;  // [rows], `stride` apart: this rank's part; on rank 0 the whole rows, which begin with its own
    int64_t stride;
    int rows;
    int begin[kMaxPeers + 1];  // the columns of rank r are [begin[r], begin[r + 1])
  };
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr bool kMeetsPeers = true;

  static QUIRE_DEVICE void Run(const Params& p) {
    WaitForPriorKernel();
    PeerTurns turns(p.links);
    const int64_t piece = p.links.half_bytes / 4, all = MostElements(p);
    for (int64_t first = BlockIndex().x * piece, at = 0; at < all; at += GridSize().x * piece) {
      Show(p, turns, at + first, piece);
      if (!turns.Meet(0)) return;
      for (int rank = 1; p.links.rank == 0 && rank < p.links.ranks; ++rank) {
        Take(p, turns, rank, at + first, piece);
      }
      turns.Pass(1);
    }
    turns.Keep();
    LetNextKernelStart();
  }

 private:
  static QUIRE_DEVICE int Columns(const Params& p, int rank) { return p.begin[rank + 1] - p.begin[rank]; }
  static QUIRE_DEVICE int64_t Elements(const Params& p, int rank) {
    return static_cast<int64_t>(p.rows) * Columns(p, rank);
  }
  static QUIRE_DEVICE int64_t MostElements(const Params& p) {
    int64_t most = 0;
    for (int rank = 1; rank < p.links.ranks; ++rank) {
      if (Elements(p, rank) > most) most = Elements(p, rank);
    }
    return most;
  }
  // Of the rank's elements those of the piece that begins at `first`.
  static QUIRE_DEVICE int CountAt(const Params& p, int rank, int64_t first, int64_t piece) {
    const int64_t left = Elements(p, rank) - first;
    return static_cast<int>(left <= 0 ? 0 : left < piece ? left : piece);
  }
  static QUIRE_DEVICE void Show(const Params& p, const PeerTurns& turns, int64_t first, int64_t piece) {
    if (p.links.rank == 0) return;
    float* const half = reinterpret_cast<float*>(turns.Half(p.links.rank, 0));
    const int columns = Columns(p, p.links.rank), count = CountAt(p, p.links.rank, first, piece);
    for (int i = ThreadIndex(); i < count; i += kThreads) {
      half[i] = p.x[(first + i) / columns * p.stride + (first + i) % columns];
    }
  }
  static QUIRE_DEVICE void Take(const Params& p, const PeerTurns& turns, int rank, int64_t first,
                                int64_t piece) {
    const float* const half = reinterpret_cast<const float*>(turns.Half(rank, 0));
    const int columns = Columns(p, rank), count = CountAt(p, rank, first, piece);
    for (int i = ThreadIndex(); i < count; i += kThreads) {
      p.x[(first + i) / columns * p.stride + p.begin[rank] + (first + i) % columns] = half[i];
    }
  }
};

}  // namespace quire::kernels::cuda
