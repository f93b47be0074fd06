// NCCL between the threads of one process, for communicators on fibers: it moves the bytes, in the stream's
// own time, notes where its callers do what NVIDIA's guide forbids (nccl_life.h) or an abort would wait for
// ever, and breaks on command. The test owns it and it outlives the ranks, each of which has its own calls.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/core/mutex.h"
#include "kernels/cuda/collective/nccl_calls.h"

namespace quire::kernels::cuda {

enum class NcclFault : uint8_t {
  kNone,
  kNoLibrary,
  kOld,           // a version whose aborts may hang
  kOtherVersion,  // than the other ranks'
  kBlocking,      // its environment says that calls wait
  kNoId,
  kInitFails,   // at once
  kInitHangs,   // so it does for the others
  kInitBreaks,  // later
  kCallFails,
  kCallHangs,   // never stands on the stream
  kDrops,       // stands there and is never done
  kBreaks,      // the same, and an error comes
  kMovesWrong,  // other bytes than were sent
};

class FakeNccl {
 public:
  static constexpr int kInvalid = 4, kBroken = 6;  // ncclInvalidArgument, ncclRemoteError

  explicit FakeNccl(int ranks) : ranks_(static_cast<size_t>(ranks)) {}
  NcclCalls Of(int rank);
  // What the rank calls from now on.
  void Break(int rank, NcclFault fault);
  // Ranks may be stopped from now on, in the midst of a call.
  void ExpectStops();
  std::vector<std::string> misuses() const;
  int64_t groups(int rank) const;
  int64_t ids_made() const;
  // Until the rank has called one.
  void AwaitGroup(int rank) const;
  bool is_aborted(int rank) const;
  // Every communicator that was made.
  bool all_aborted() const;

 private:
  struct Move {
    bool sends = false;
    int peer = 0;
    const std::byte* from = nullptr;
    std::byte* to = nullptr;
    int64_t bytes = 0;
  };
  struct Rank {
    NcclFault fault = NcclFault::kNone;
    int state = kNcclDone;
    int looks_left = 0;  // at what is in progress
    bool made = false, initializing = false, hangs = false, in_call = false, in_group = false,
         aborted = false;
    std::thread::id group_thread;
    int64_t groups = 0;
    std::vector<Move> group;
    std::vector<std::weak_ptr<const int>> in_graphs;  // of calls that were captured, while their graphs live
    Stream* stream = nullptr;                         // of the group
  };
  // One call of a rank: nobody else's is in its communicator meanwhile.
  class Call;

  int Init(int rank, void** comm);
  int AskState(int rank, int* state);
  int Abort(int rank);
  int BeginGroup(int rank);
  int EndGroup(int rank);
  int Add(int rank, Stream& stream, const std::vector<Move>& moves);
  // On the stream.
  void DoMoves(int rank, NcclFault fault, const std::vector<Move>& moves);
  // False: it is aborted.
  bool Receive(int rank, const Move& move, bool wrong) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AwaitAbort(int rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AllMade() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Note(int rank, const char* misuse) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::vector<Rank> ranks_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<int, int>, std::deque<std::vector<std::byte>>> sent_ ABSL_GUARDED_BY(mutex_);
  int64_t ids_made_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stops_expected_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> misuses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::kernels::cuda
