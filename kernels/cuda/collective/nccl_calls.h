// NCCL as we call it, in types of our own: what opens the library (nccl_library.cu) fills it in, and tests
// do, with one that moves bytes between threads and breaks on command. NCCL moves bytes here and sums
// nothing. Which thread may call what: nccl_life.h. Plain data.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace quire::kernels::cuda {

class Stream;

// Of what NCCL answers; every other number is an error.
inline constexpr int kNcclDone = 0, kNcclInProgress = 7;
// How many channels it has at most (its CTAs), and what each of them takes on the GPU for a connection to
// another rank: a buffer for each of its three protocols, 8 steps each, of 512 KiB, of 8 lines of 16 bytes
// for 512 threads, and of 120 words of 8 bytes for 640 (its init.cc and device.h, 2.23 to 2.28). A ring has
// two connections; what AllGather may take on several hosts besides (PAT) four for each doubling of the
// ranks.
inline constexpr int kNcclChannels = 4;
inline constexpr int64_t kNcclConnectionBytes = 8 * ((512 << 10) + 8 * 16 * 512 + 120 * 8 * 640);
inline constexpr int64_t kNcclRingBytes = kNcclChannels * 2 * kNcclConnectionBytes;
inline constexpr int64_t kNcclDoublingBytes = kNcclChannels * 4 * kNcclConnectionBytes;
// Its kernels, and what sends and receives share: a guess.
inline constexpr int64_t kNcclOtherBytes = int64_t{64} << 20;

inline bool NcclTook(int result) { return result == kNcclDone || result == kNcclInProgress; }

struct NcclCalls {
  std::string missing;  // not "": why there is no library; then nothing else is there
  int version = 0;      // 22809: 2.28.9
  // Of the environment: unless it is "" or "0", NCCL's calls wait, whatever they are told.
  std::string comm_blocking = "";
  // Bytes by which the ranks of a communicator find one another: rank 0 makes them, and NCCL waits for the
  // others from then on.
  std::function<int(std::string* id)> make_id;
  std::function<int(int ranks, int rank, const std::string& id, void** comm)> init;
  std::function<int(void* comm, int* state)> ask_state;
  std::function<int(void* comm)> abort_comm;
  std::function<int()> begin_group, end_group;
  // all: of every rank `bytes`, in rank order; mine may be its place there.
  std::function<int(const void* mine, void* all, int64_t bytes, void* comm, Stream& stream)> all_gather;
  std::function<int(const void* from, int64_t bytes, int to_rank, void* comm, Stream& stream)> send;
  std::function<int(void* to, int64_t bytes, int from_rank, void* comm, Stream& stream)> receive;
  // For people: what a result means, and what NCCL said last.
  std::function<std::string(void* comm, int result)> words;
};

// Looks for the library; called only where it is needed.
using OpenNccl = std::function<NcclCalls()>;

}  // namespace quire::kernels::cuda
