// How a block meets the same block of every other rank: all of them write into a half of their own data, say
// so by flags, and then read the halves of the others. Every thread of the block calls each function; all
// ranks run the same kernels with the same grids in the same order, one after another.
//
// What always holds: a half is written again two turns later, when every rank's flag of the turn between has
// shown that it was read; so one meeting a turn is enough. A flag is the number of the block's turn, which
// wraps.
#pragma once

#include "kernels/cuda/collective/peer_links.h"
#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

class PeerTurns {
 public:
  static constexpr int kSharedBytes = 16;

  QUIRE_DEVICE explicit PeerTurns(const PeerLinks& links)
      : links_(links),
        block_(BlockIndex().x),
        turn_(links.turns[block_]),
        lost_(reinterpret_cast<int*>(SharedMemory())) {
    if (ThreadIndex() == 0) *lost_ = 0;
  }

  // `ahead` turns from now on.
  QUIRE_DEVICE std::byte* Half(int rank, int ahead) const {
    const uint32_t half = static_cast<uint32_t>(block_) * 2 + ((turn_ + static_cast<uint32_t>(ahead)) & 1);
    return links_.memory[rank] + kPeerFlagBytes + static_cast<size_t>(half) * links_.half_bytes;
  }

  // Behind it this rank sees what the others wrote before theirs. False: the group is lost, and so is what
  // the kernel computes.
  QUIRE_DEVICE bool Meet(int ahead) const {
    const int thread = ThreadIndex();
    const uint32_t flag = turn_ + static_cast<uint32_t>(ahead) + 1;
    SyncBlock();
    if (thread < links_.ranks) {
      StoreRelease(FlagOf(thread, links_.rank), flag);
      if (!Await(FlagOf(links_.rank, thread), flag)) *lost_ = 1;
    }
    SyncBlock();
    return *lost_ == 0;
  }

  QUIRE_DEVICE void Pass(int turns) { turn_ += static_cast<uint32_t>(turns); }
  // For the next kernel; nothing is met behind it.
  QUIRE_DEVICE void Keep() const {
    if (ThreadIndex() == 0) links_.turns[block_] = turn_;
  }

 private:
  QUIRE_DEVICE uint32_t* FlagOf(int reader, int writer) const {
    return reinterpret_cast<uint32_t*>(links_.memory[reader]) + block_ * kPeerLineWords + writer;
  }
  QUIRE_DEVICE bool Await(const uint32_t* word, uint32_t flag) const {
    constexpr uint32_t kLooksAtStop = 256;  // it stands in the host's memory
    uint32_t looks = 0;
    while (static_cast<int32_t>(LoadAcquire(word) - flag) < 0) {
      if (++looks % kLooksAtStop == 0 && LoadAcquire(links_.stop) != 0) return false;
      Pause();
    }
    return true;
  }

  const PeerLinks& links_;
  const int block_;
  uint32_t turn_;
  int* const lost_;
};

}  // namespace quire::kernels::cuda
