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
inline bool NcclTook(int result) { return result == kNcclDone || result == kNcclInProgress; }

struct NcclCalls {
  std::string missing;  // not "": why there is no library; then nothing else is there
  int version = 0;      // 22809: 2.28.9
  // Bytes by which the ranks of a communicator find one another: rank 0 makes them.
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
