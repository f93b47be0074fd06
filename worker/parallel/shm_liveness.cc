#include "worker/parallel/shm_liveness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace quire::worker {
namespace {

constexpr int64_t kBeatMs = 250;

// Writes `mine` where nothing is yet; what is there.
template <typename T>
T FirstOf(std::atomic<T>& place, T mine) {
  T seen = 0;
  return place.compare_exchange_strong(seen, mine) ? mine : seen;
}

}  // namespace

ShmLiveness::ShmLiveness(const ShmLivenessOptions& options, LivenessCallbacks callbacks,
                         std::unique_ptr<GroupMemory> memory)
    : Liveness(options.rank, options.size, std::move(callbacks), memory->control().slots[options.rank].timed,
               memory->control().slots[options.rank].phases),
      options_(options),
      memory_(std::move(memory)) {}

ShmLiveness::~ShmLiveness() {
  if (!beat_thread_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    stop_ = true;
  }
  beat_thread_.join();
}

absl::Status ShmLiveness::TakePlace() {
  GroupControl& control = memory_->control();
  if (FirstOf<uint64_t>(control.layout, sizeof(GroupControl)) != sizeof(GroupControl)) {
    memory_->Unlink();
    return absl::InvalidArgumentError("the ranks of this group are of different builds of this program");
  }
  if (const int32_t first = FirstOf<int32_t>(control.size, size()); first != size()) {
    const std::string why = absl::StrCat("rank ", rank(), " was started with --ranks ", size(),
                                         ", another with ", first, ": start all ranks of a group alike");
    MarkLost(why);
    memory_->Unlink();
    return absl::InvalidArgumentError(why);
  }
  const absl::Status held = memory_->HoldPlace(rank());
  if (!held.ok() && !absl::IsAlreadyExists(held)) return held;
  if (!held.ok() || slot(rank()).taken.exchange(1) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("there is a rank ", rank(), " in shared memory ",
                                                   memory_->name(),
                                                   " already: give each rank of a group its own --rank, and "
                                                   "each group and epoch its own --shm"));
  }
  return absl::OkStatus();
}

absl::Status ShmLiveness::Begin() {
  if (absl::Status taken = TakePlace(); !taken.ok()) return taken;
  BeatOnce();
  Enter(Phase::kStarting);
  beat_thread_ = std::thread([this] { BeatLoop(); });
  return absl::OkStatus();
}

void ShmLiveness::AllAreHere() {
  memory_->Unlink();
  named_ = false;
}

absl::Status ShmLiveness::Await(SharedWord& word, uint32_t target) const {
  return word.WaitFor(target & SharedWord::kMask, options_.spin_us) ? absl::OkStatus() : LostError();
}

bool ShmLiveness::Healthy() const {
  // A peer's Lose counts at once, before our next beat.
  if (lost() || memory_->control().plan.lost()) return false;
  for (int r = 0; r < size(); ++r) {
    if (slot(r).left.load() != 0) return false;
  }
  return true;
}

void ShmLiveness::Spread(const std::string& why) {
  GroupControl& control = memory_->control();
  uint32_t none = 0;
  if (control.reason_state.compare_exchange_strong(none, 1)) {
    const size_t length = std::min(why.size(), sizeof(control.reason) - 1);
    std::copy_n(why.data(), length, control.reason);
    control.reason_state.store(2);
  }
  control.plan.MarkLost();
  for (int r = 0; r < size(); ++r) {
    for (SharedWord* word : {&slot(r).joined, &slot(r).gathered, &slot(r).exchange, &slot(r).ack}) {
      word->MarkLost();
    }
  }
  if (named_) memory_->Unlink();  // on_lost may end the process
}

absl::Status ShmLiveness::LostError() const {
  const GroupControl& control = memory_->control();
  return absl::UnavailableError(control.reason_state.load() == 2 ? control.reason : "a rank ended the group");
}

bool ShmLiveness::drain_asked() const {
  for (int r = 0; r < size(); ++r) {
    if (slot(r).drain_asked.load() != 0) return true;
  }
  return false;
}

void ShmLiveness::BeatLoop() {
  RankWatch watch(rank(), size(), {.beat_us = kBeatMs * 1000, .silence_us = options_.stale_ms * 1000});
  MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Milliseconds(kBeatMs))) {
    BeatOnce();
    mutex_.Unlock();  // a callback may take its time, or end this object's process
    if (!lost()) Look(watch);
    mutex_.Lock();
  }
}

void ShmLiveness::Look(RankWatch& watch) {
  if (drain_asked()) HearDrainAsked();
  const std::vector<RankState> states = States();
  std::vector<RankView> views(states.size());
  std::transform(states.begin(), states.end(), views.begin(), [](const RankState& s) { return s.view; });
  const std::optional<RankVerdict> verdict = watch.Look(MonotonicUs(), views);
  if (memory_->control().plan.lost()) return Lose("another rank ended it");
  if (verdict) Lose(DescribeFault(*verdict, states));
}

std::vector<RankState> ShmLiveness::States() const {
  std::vector<RankState> states(static_cast<size_t>(size()));
  for (int r = 0; r < size(); ++r) {
    const RankSlot& seen = slot(r);
    const bool dead = r != rank() && !memory_->PlaceHeld(r);
    // Who leaves says so before it ends: in this order none that left looks dead.
    const TimedMark::Seen timed = seen.timed.Read();
    RankState& state = states[static_cast<size_t>(r)];
    state.view.beats = seen.beats.load();
    state.view.left = seen.left.load() != 0;
    state.view.dead = dead;
    state.view.step = timed.step;
    state.view.step_limit_us = timed.limit_us;
    state.waiting = IsWaiting(seen.phases.current());
    state.doing = seen.phases.Describe();
  }
  return states;
}

}  // namespace quire::worker
