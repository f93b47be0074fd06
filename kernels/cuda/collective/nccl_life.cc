#include "kernels/cuda/collective/nccl_life.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/cuda/collective/same_for_all.h"

namespace quire::kernels::cuda {
namespace {

std::string VersionName(int version) {
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

// "", or why this rank can't begin.
std::string WhyNot(const NcclCalls& calls) {
  if (!calls.missing.empty()) return calls.missing;
  if (calls.version < NcclLife::kOldestVersion) {
    return absl::StrCat("NCCL ", VersionName(calls.version), " is too old: install ",
                        VersionName(NcclLife::kOldestVersion), " or later");
  }
  if (calls.comm_blocking.empty() || calls.comm_blocking == "0") return "";
  return absl::StrCat("NCCL_COMM_BLOCKING=", calls.comm_blocking,
                      " would have NCCL's calls wait beyond every limit: take it out of the environment");
}

// "", or which rank's library is another than rank 0's.
std::string OtherVersion(const std::vector<std::string>& versions) {
  for (size_t rank = 1; rank < versions.size(); ++rank) {
    if (versions[rank] == versions[0]) continue;
    return absl::StrCat("rank ", rank, " has another NCCL (", versions[rank], ") than rank 0 (", versions[0],
                        "): install the same one on all hosts");
  }
  return "";
}

// Rank 0's, once all ranks can begin: what makes it goes on waiting for them. "" where it is not to be had.
absl::StatusOr<std::string> SharedId(const NcclCalls& calls, Rendezvous& rendezvous, std::string& why) {
  std::string id, failed;
  if (rendezvous.rank() == 0) {
    const int result = calls.make_id(&id);
    if (result != kNcclDone) failed = absl::StrCat("NCCL makes no id: ", calls.words(nullptr, result));
  }
  QUIRE_ASSIGN_OR_RETURN(why, FirstWord(failed, rendezvous));
  if (!why.empty()) return "";
  QUIRE_ASSIGN_OR_RETURN(const auto ids, rendezvous.AllGather(id));
  return ids[0];
}

}  // namespace

NcclLife::NcclLife(NcclCalls calls, int64_t limit_ms)
    : calls_(std::move(calls)), limit_ms_(limit_ms), watch_([this] { Watch(); }) {}

NcclLife::~NcclLife() {
  Stop();
  watch_.join();
}

absl::StatusOr<std::unique_ptr<NcclLife>> NcclLife::Join(NcclCalls calls, Rendezvous& rendezvous,
                                                         int64_t limit_ms, std::string& why) {
  QUIRE_ASSIGN_OR_RETURN(why, FirstWord(WhyNot(calls), rendezvous));
  if (!why.empty()) return nullptr;
  QUIRE_ASSIGN_OR_RETURN(const auto versions, rendezvous.AllGather(VersionName(calls.version)));
  why = OtherVersion(versions);
  if (!why.empty()) return nullptr;
  QUIRE_ASSIGN_OR_RETURN(const std::string id, SharedId(calls, rendezvous, why));
  if (!why.empty()) return nullptr;
  auto life = std::unique_ptr<NcclLife>(new NcclLife(std::move(calls), limit_ms));
  const absl::Status made = life->Init(rendezvous.size(), rendezvous.rank(), id);
  // Who can't waits here for those that wait for it there.
  QUIRE_ASSIGN_OR_RETURN(why, FirstReason(made.ok() ? "" : MessageOf(made), life->late_, rendezvous,
                                          Rendezvous::kUsualLimitUs + limit_ms * 1000));
  if (!why.empty()) return nullptr;
  return life;
}

absl::Status NcclLife::Init(int ranks, int rank, const std::string& id) {
  constexpr char kWhat[] = "joining the ranks";
  {
    MutexLock lock(&calling_);
    const int result = calls_.init(ranks, rank, id, &comm_);
    if (!NcclTook(result)) return Refused(kWhat, result);
  }
  return AwaitReady(kWhat);
}

absl::Status NcclLife::Run(absl::FunctionRef<int(void* comm)> group) {
  constexpr char kWhat[] = "taking a call";
  if (lost_.HasBeenNotified()) return Check();
  {
    MutexLock lock(&calling_);
    if (comm_ == nullptr) return Check();
    int result = calls_.begin_group();
    if (NcclTook(result)) {
      result = group(comm_);
      const int ended = calls_.end_group();  // in any case: later groups would else stand within this one
      if (NcclTook(result)) result = ended;
    }
    if (!NcclTook(result)) return Refused(kWhat, result);
  }
  return AwaitReady(kWhat);
}

absl::Status NcclLife::AwaitReady(const char* what) {
  constexpr int64_t kBusyLooks = 2000;  // what a kernel's launch takes
  for (int64_t looks = 0; looks < kBusyLooks + limit_ms_; ++looks) {
    {
      MutexLock lock(&calling_);
      if (comm_ == nullptr || lost_.HasBeenNotified()) break;
      QUIRE_ASSIGN_OR_RETURN(const bool ready, IsReady(what));
      if (ready) return absl::OkStatus();
    }
    if (looks < kBusyLooks) {
      std::this_thread::yield();
    } else {
      (void)lost_.WaitForNotificationWithTimeout(absl::Milliseconds(1));
    }
  }
  if (lost_.HasBeenNotified()) return Check();
  late_ = true;
  return Lose(absl::StrCat("NCCL is not done ", what, " after ", limit_ms_,
                           " ms: look whether all hosts' workers run and reach one another; "
                           "NCCL_SOCKET_IFNAME names the network between them, NCCL_DEBUG=INFO says more"));
}

absl::StatusOr<bool> NcclLife::IsReady(const char* what) {
  int state = kNcclDone;
  int result = calls_.ask_state(comm_, &state);
  if (NcclTook(result)) result = state;
  if (!NcclTook(result)) return Refused(what, result);
  return result == kNcclDone;
}

absl::Status NcclLife::Refused(const char* what, int result) {
  return Lose(absl::StrCat("NCCL, ", what, ": ", calls_.words(comm_, result),
                           " (NCCL_DEBUG=WARN in the workers' environment says more)"));
}

absl::Status NcclLife::Lose(const std::string& why) {
  {
    MutexLock lock(&why_mutex_);
    if (why_.empty() && !lost_.HasBeenNotified()) why_ = why;
  }
  lost_.Notify();
  return Check();
}

absl::Status NcclLife::Check() const {
  if (!lost_.HasBeenNotified()) return absl::OkStatus();
  MutexLock lock(&why_mutex_);
  return absl::UnavailableError(why_.empty() ? "the group's NCCL communicator was stopped" : why_);
}

void NcclLife::Stop() { lost_.Notify(); }

void NcclLife::WhenLost(std::function<void(const absl::Status&)> tell) {
  MutexLock lock(&why_mutex_);
  when_lost_ = std::move(tell);
}

void NcclLife::TellLost() {
  std::function<void(const absl::Status&)> tell;
  absl::Status why;
  {
    MutexLock lock(&why_mutex_);
    if (why_.empty()) return;  // it was stopped
    tell = when_lost_;
    why = absl::UnavailableError(why_);
  }
  if (tell) tell(why);
}

void NcclLife::Watch() {
  constexpr absl::Duration kBetweenLooks = absl::Milliseconds(250);
  while (!lost_.WaitForNotificationWithTimeout(kBetweenLooks)) {
    MutexLock lock(&calling_);
    if (comm_ != nullptr) (void)IsReady("exchanging");  // which loses it where an error came
  }
  TellLost();
  void* comm = nullptr;
  {
    MutexLock lock(&calling_);
    comm = std::exchange(comm_, nullptr);
  }
  if (comm != nullptr) (void)calls_.abort_comm(comm);
}

}  // namespace quire::kernels::cuda
