// What kernels of several ranks meet by: memory of each rank that all of them reach. A rank writes its own
// data and the others' flags; it reads the others' data and its own flags. Plain data, which the host fills
// (peer_communicator.h) and kernels get by value (peer_turns.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace quire::kernels::cuda {

inline constexpr int kMaxPeers = 8;
inline constexpr int kPeerBlocks = 32;  // of a kernel that meets others, at most

// A rank's memory: for each block a line of flags, one for each rank; then for each block two halves of data.
inline constexpr int kPeerLineWords = 32;
inline constexpr size_t kPeerFlagBytes = size_t{kPeerBlocks} * kPeerLineWords * sizeof(uint32_t);

struct PeerLinks {
  std::byte* memory[kMaxPeers];  // of each rank, where this one sees it
  uint32_t* turns;               // [kPeerBlocks], this rank's alone: how many each block has behind it
  const uint32_t* stop;          // not 0: the group is lost, and nobody waits any more
  int rank, ranks;
  int half_bytes;  // a multiple of 16

  static size_t MemoryBytes(int half_bytes) {
    return kPeerFlagBytes + size_t{kPeerBlocks} * 2 * static_cast<size_t>(half_bytes);
  }
};

}  // namespace quire::kernels::cuda
