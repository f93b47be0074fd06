#include "tests/cuda/fake_nccl.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

class FakeNccl::Call {
 public:
  Call(FakeNccl& nccl, int rank) : nccl_(nccl), rank_(rank) {
    MutexLock lock(&nccl_.mutex_);
    Rank& own = nccl_.ranks_[rank_];
    if (own.in_call) nccl_.Note(rank_, "is called by two threads at once");
    if (own.in_group && own.group_thread != std::this_thread::get_id()) {
      nccl_.Note(rank_, "is called by another thread within a group");
    }
    if (own.aborted) nccl_.Note(rank_, "is called after its abort");
    own.in_call = true;
  }
  ~Call() {
    std::this_thread::yield();
    MutexLock lock(&nccl_.mutex_);
    nccl_.ranks_[rank_].in_call = false;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  FakeNccl& nccl_;
  const int rank_;
};

NcclCalls FakeNccl::Of(int rank) {
  NcclCalls calls;
  MutexLock lock(&mutex_);
  const NcclFault fault = ranks_[rank].fault;
  if (fault == NcclFault::kNoLibrary) {
    calls.missing = "no libnccl.so.2";
    return calls;
  }
  calls.version = fault == NcclFault::kOld ? 21803 : fault == NcclFault::kOtherVersion ? 23007 : 22809;
  if (fault == NcclFault::kBlocking) calls.comm_blocking = "1";
  calls.make_id = [this, fault](std::string* id) {
    MutexLock making(&mutex_);
    ++ids_made_;
    *id = std::string("a:\0b", 4);
    return fault == NcclFault::kNoId ? kBroken : kNcclDone;
  };
  calls.init = [this, rank](int, int, const std::string& id, void** comm) {
    return id == std::string("a:\0b", 4) ? Init(rank, comm) : kInvalid;
  };
  calls.ask_state = [this, rank](void*, int* state) { return AskState(rank, state); };
  calls.abort_comm = [this, rank](void*) { return Abort(rank); };
  calls.begin_group = [this, rank] { return BeginGroup(rank); };
  calls.end_group = [this, rank] { return EndGroup(rank); };
  calls.send = [this, rank](const void* from, int64_t bytes, int to, void*, Stream& stream) {
    return Add(rank, stream, {{true, to, static_cast<const std::byte*>(from), nullptr, bytes}});
  };
  calls.receive = [this, rank](void* to, int64_t bytes, int from, void*, Stream& stream) {
    return Add(rank, stream, {{false, from, nullptr, static_cast<std::byte*>(to), bytes}});
  };
  const int ranks = static_cast<int>(ranks_.size());
  calls.all_gather = [this, rank, ranks](const void* mine, void* all, int64_t bytes, void*, Stream& stream) {
    std::vector<Move> moves;
    for (int peer = 0; peer < ranks; ++peer) {
      moves.push_back({true, peer, static_cast<const std::byte*>(mine), nullptr, bytes});
      moves.push_back({false, peer, nullptr, static_cast<std::byte*>(all) + peer * bytes, bytes});
    }
    return Add(rank, stream, moves);
  };
  calls.words = [](void*, int result) {
    return result == kBroken ? "a rank is gone" : "error " + std::to_string(result);
  };
  return calls;
}

void FakeNccl::Break(int rank, NcclFault fault) {
  MutexLock lock(&mutex_);
  ranks_[rank].fault = fault;
}

void FakeNccl::ExpectStops() {
  MutexLock lock(&mutex_);
  stops_expected_ = true;
}

std::vector<std::string> FakeNccl::misuses() const {
  MutexLock lock(&mutex_);
  return misuses_;
}

int64_t FakeNccl::groups(int rank) const {
  MutexLock lock(&mutex_);
  return ranks_[rank].groups;
}

int64_t FakeNccl::ids_made() const {
  MutexLock lock(&mutex_);
  return ids_made_;
}

void FakeNccl::AwaitGroup(int rank) const {
  MutexLock lock(&mutex_);
  auto called = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ranks_[rank].groups > 0; };
  mutex_.Await(absl::Condition(&called));
}

bool FakeNccl::is_aborted(int rank) const {
  MutexLock lock(&mutex_);
  return ranks_[rank].aborted;
}

bool FakeNccl::all_aborted() const {
  MutexLock lock(&mutex_);
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& own) { return own.aborted == own.made; });
}

int FakeNccl::Init(int rank, void** comm) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  if (own.fault == NcclFault::kInitFails) return kBroken;
  *comm = &own;
  own.made = own.initializing = true;
  own.state = kNcclInProgress;
  return kNcclInProgress;
}

int FakeNccl::AskState(int rank, int* state) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  if (own.initializing && own.fault == NcclFault::kInitBreaks) own.state = kBroken;
  if (own.initializing && own.state == kNcclInProgress && AllMade()) {
    own.initializing = false;
    own.state = kNcclDone;
  }
  if (!own.initializing && own.state == kNcclInProgress && !own.hangs && own.looks_left-- == 0) {
    own.state = kNcclDone;
  }
  *state = own.state;
  return kNcclDone;
}

bool FakeNccl::AllMade() const {
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& own) {
    return own.made && own.fault != NcclFault::kInitHangs && own.fault != NcclFault::kInitBreaks;
  });
}

int FakeNccl::Abort(int rank) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  const auto& in_graphs = ranks_[rank].in_graphs;
  if (!std::ranges::all_of(in_graphs, [](const auto& held) { return held.expired(); })) {
    Note(rank, "is aborted while a graph holds its calls");
  }
  ranks_[rank].aborted = true;
  return kNcclDone;
}

int FakeNccl::BeginGroup(int rank) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  if (own.state == kNcclInProgress) Note(rank, "is called while a call is in progress");
  own.in_group = true;
  own.group_thread = std::this_thread::get_id();
  own.group.clear();
  return kNcclDone;
}

int FakeNccl::Add(int rank, Stream& stream, const std::vector<Move>& moves) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  if (!own.in_group) Note(rank, "moves outside of a group");
  if (own.fault == NcclFault::kCallFails) return kInvalid;
  own.stream = &stream;
  own.group.insert(own.group.end(), moves.begin(), moves.end());
  return kNcclDone;
}

int FakeNccl::EndGroup(int rank) {
  const Call call(*this, rank);
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  own.in_group = false;
  ++own.groups;
  if (own.group.empty()) return kNcclDone;
  own.hangs = own.fault == NcclFault::kCallHangs;
  own.looks_left = 2;
  own.state = kNcclInProgress;
  const auto held = std::make_shared<const int>(0);
  if (own.stream->kept_launches() != nullptr) own.in_graphs.push_back(held);
  own.stream->Enqueue([this, rank, held, fault = own.fault, moves = std::exchange(own.group, {})](Stream&) {
    DoMoves(rank, fault, moves);
  });
  return kNcclInProgress;
}

void FakeNccl::DoMoves(int rank, NcclFault fault, const std::vector<Move>& moves) {
  MutexLock lock(&mutex_);
  Rank& own = ranks_[rank];
  if (own.state == kNcclInProgress && !own.hangs && !stops_expected_)
    Note(rank, "has work on its stream before a call stands there");
  if (fault == NcclFault::kBreaks) own.state = kBroken;
  if (fault == NcclFault::kBreaks || fault == NcclFault::kDrops || own.hangs) return AwaitAbort(rank);
  for (const Move& move : moves) {
    if (move.sends) sent_[{rank, move.peer}].emplace_back(move.from, move.from + move.bytes);
  }
  for (const Move& move : moves) {
    if (!move.sends && !Receive(rank, move, fault == NcclFault::kMovesWrong)) return;
  }
}

bool FakeNccl::Receive(int rank, const Move& move, bool wrong) {
  auto& queue = sent_[{move.peer, rank}];
  const bool& aborted = ranks_[rank].aborted;
  auto came = [&] { return aborted || !queue.empty(); };
  mutex_.Await(absl::Condition(&came));
  if (aborted) return false;
  const std::vector<std::byte> bytes = std::move(queue.front());
  queue.pop_front();
  if (std::ssize(bytes) != move.bytes) {  // what NCCL does then is not said
    AwaitAbort(rank);
    return false;
  }
  if (move.bytes > 0) std::memcpy(move.to, bytes.data(), bytes.size());
  if (wrong) move.to[0] ^= std::byte{1};
  return true;
}

void FakeNccl::AwaitAbort(int rank) { mutex_.Await(absl::Condition(&ranks_[rank].aborted)); }

void FakeNccl::Note(int rank, const char* misuse) {
  misuses_.push_back("rank " + std::to_string(rank) + " " + misuse);
}

}  // namespace quire::kernels::cuda
