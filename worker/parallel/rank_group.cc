#include "worker/parallel/rank_group.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/core/log.h"
#include "base/core/status.h"

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

RankGroup::RankGroup(const RankGroupOptions& options, std::function<void()> on_lost,
                     std::function<void()> on_drain_asked, std::unique_ptr<GroupMemory> memory)
    : options_(options),
      on_lost_(std::move(on_lost)),
      on_drain_asked_(std::move(on_drain_asked)),
      memory_(std::move(memory)) {}

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Join(const RankGroupOptions& options,
                                                           std::function<void()> on_lost,
                                                           std::function<void()> on_drain_asked) {
  if (options.size < 1 || options.size > kMaxRanks || options.rank < 0 || options.rank >= options.size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of ", options.size,
                                                   " ranks: ranks count from 0 and there are 1..",
                                                   kMaxRanks));
  }
  QUIRE_ASSIGN_OR_RETURN(auto memory, GroupMemory::Open(options.shm));
  std::unique_ptr<RankGroup> group(
      new RankGroup(options, std::move(on_lost), std::move(on_drain_asked), std::move(memory)));
  QUIRE_RETURN_IF_ERROR(group->TakePlace());
  absl::Status joined = group->Gather();
  if (joined.ok()) return group;
  group->memory_->Unlink();  // whichever rank it is: the others may have ended before it came
  group->MarkLost(absl::StrCat("rank ", options.rank, " could not join: ", MessageOf(joined)));
  return joined;
}

absl::Status RankGroup::TakePlace() {
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
                                                   options_.shm->text(),
                                                   " already: give each rank of a group its own --rank, and "
                                                   "each group and epoch its own --shm"));
  }
  return absl::OkStatus();
}

absl::Status RankGroup::Gather() {
  BeatOnce();
  Enter(Phase::kStarting);
  beat_thread_ = std::thread([this] { BeatLoop(); });
  BeginTimed(0, options_.join_timeout_ms * 1000);
  Enter(Phase::kAgreeing);
  slot(rank()).joined.Advance();
  for (int r = 0; r < size(); ++r) QUIRE_RETURN_IF_ERROR(Await(slot(r).joined, 1));
  EndTimed();
  // Every rank has the memory open: without its name nothing is left behind, however the processes end. Each
  // takes it away, since any of them may be killed before it does.
  memory_->Unlink();
  gathered_ = true;
  return Agree();
}

absl::Status RankGroup::Agree() {
  RankRecord mine = options_.agreement;
  mine.emplace_back("exchange bytes", absl::StrCat(options_.buffers.exchange_bytes));
  mine.emplace_back("plan bytes", absl::StrCat(options_.buffers.plan_bytes));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<std::string> records, AllGather(EncodeRecord(mine)));
  QUIRE_RETURN_IF_ERROR(CheckEqual(records));
  QUIRE_RETURN_IF_ERROR(memory_->MapBuffers(options_.buffers, size()));
  return AllGather("").status();  // no rank goes on before all have their memory
}

RankGroup::~RankGroup() {
  if (beat_thread_.joinable()) {
    {
      MutexLock lock(&mutex_);
      stop_ = true;
    }
    beat_thread_.join();
  }
}

absl::Status RankGroup::Await(SharedWord& word, uint32_t target) {
  return word.WaitFor(target & SharedWord::kMask, options_.spin_us) ? absl::OkStatus() : LostError();
}

absl::StatusOr<std::vector<std::string>> RankGroup::AllGather(const std::string& record, int64_t limit_us) {
  if (std::ssize(record) > kMaxRecordBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record of ", record.size(), " bytes; ranks share at most ", kMaxRecordBytes));
  }
  BeginTimed(0, limit_us);
  Enter(Phase::kAgreeing);
  // A round is two advances: "my record is written" and "I have read all".
  const uint32_t round = 2 * gathers_++;
  for (int r = 0; r < size(); ++r) QUIRE_RETURN_IF_ERROR(Await(slot(r).gathered, round));
  RankSlot& own = slot(rank());
  own.record_bytes = std::ssize(record);
  std::copy(record.begin(), record.end(), own.record);
  own.gathered.Advance();
  std::vector<std::string> records;
  for (int r = 0; r < size(); ++r) {
    QUIRE_RETURN_IF_ERROR(Await(slot(r).gathered, round + 1));
    records.emplace_back(slot(r).record, static_cast<size_t>(slot(r).record_bytes));
  }
  own.gathered.Advance();
  EndTimed();
  Enter(Phase::kStarting);
  return records;
}

void RankGroup::BeginTimed(uint64_t step, int64_t limit_us) {
  step_ = step;
  exchanges_in_step_ = 0;
  slot(rank()).timed.Begin(++timed_, limit_us);
}

void RankGroup::EndTimed() { slot(rank()).timed.End(); }

bool RankGroup::Healthy() const {
  // A peer's Lose counts at once, before our next beat.
  if (lost() || memory_->control().plan.lost()) return false;
  for (int r = 0; r < size(); ++r) {
    if (slot(r).left.load() != 0) return false;
  }
  return true;
}

bool RankGroup::MarkLost(const std::string& why) {
  if (lost_.exchange(true)) return false;
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
  return true;
}

void RankGroup::Lose(const std::string& why) {
  if (!MarkLost(why)) return;
  Log(LogLevel::kError, "group_lost", "rank", rank(), "reason", MessageOf(LostError()));
  if (!gathered_) memory_->Unlink();  // on_lost may end the process
  if (on_lost_) on_lost_();
}

absl::Status RankGroup::LostError() const {
  const GroupControl& control = memory_->control();
  return absl::UnavailableError(control.reason_state.load() == 2 ? control.reason : "a rank ended the group");
}

void RankGroup::AskToDrain() { slot(rank()).drain_asked.store(1); }

bool RankGroup::drain_asked() const {
  for (int r = 0; r < size(); ++r) {
    if (slot(r).drain_asked.load() != 0) return true;
  }
  return false;
}

void RankGroup::BeatLoop() {
  RankWatch watch(rank(), size(), kBeatMs * 1000, options_.stale_ms * 1000);
  MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Milliseconds(kBeatMs))) {
    BeatOnce();
    mutex_.Unlock();  // a callback may take its time, or end this object's process
    if (!lost()) Look(watch);
    mutex_.Lock();
  }
}

void RankGroup::Look(RankWatch& watch) {
  if (on_drain_asked_ && drain_asked()) on_drain_asked_();
  if (const std::optional<std::string> fault = Fault(watch)) Lose(*fault);
}

std::optional<std::string> RankGroup::Fault(RankWatch& watch) const {
  std::vector<RankView> views(size());
  for (int r = 0; r < size(); ++r) {
    const RankSlot& seen = slot(r);
    const bool dead = r != rank() && !memory_->PlaceHeld(r);
    // Who leaves says so before it ends: in this order none that left looks dead.
    const TimedMark::Seen timed = seen.timed.Read();
    views[r] = {seen.beats.load(), seen.left.load() != 0, dead, timed.step, timed.limit_us};
  }
  const std::optional<RankVerdict> verdict = watch.Look(MonotonicUs(), views);
  if (memory_->control().plan.lost()) return "another rank ended it";
  if (!verdict) return std::nullopt;
  if (verdict->fault == RankVerdict::Fault::kOverdue) return DescribeOverdue(*verdict);
  if (verdict->fault == RankVerdict::Fault::kDead) {
    return absl::StrCat("rank ", verdict->rank, " is dead: its process ended; it was ",
                        slot(verdict->rank).phases.Describe());
  }
  return absl::StrCat("rank ", verdict->rank, " is stopped: no beat for ", verdict->us / 1000, " ms; it was ",
                      slot(verdict->rank).phases.Describe());
}

// The waiting wait for those who don't; those are who did not arrive.
std::string RankGroup::DescribeOverdue(const RankVerdict& verdict) const {
  std::string late;
  for (int r = 0; r < size(); ++r) {
    if (slot(r).left.load() != 0 || IsWaiting(slot(r).phases.current())) continue;
    absl::StrAppend(&late, late.empty() ? "" : "; ", "rank ", r, " did not arrive, it is ",
                    slot(r).phases.Describe());
  }
  if (late.empty()) late = "every rank waits for another";
  return absl::StrCat(late, "; rank ", verdict.rank, " was held for ", verdict.us / 1000, " ms, ",
                      slot(verdict.rank).phases.Describe());
}

}  // namespace quire::worker
