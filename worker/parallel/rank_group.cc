#include "worker/parallel/rank_group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int64_t kBeatMs = 250;

struct alignas(64) RankSlot {
  SharedWord joined, ready, exchange, ack;
  std::atomic<int64_t> beat_us;          // 0 until the rank's first beat
  std::atomic<int64_t> step_started_us;  // 0 while idle
  std::atomic<int64_t> weight_bytes;
  std::atomic<int32_t> metrics_port;
  std::atomic<uint32_t> left;
  std::atomic<uint32_t> drain_asked;
};

int64_t RoundUp(int64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

absl::Status ErrnoError(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

// At the region's start; then, per rank, two exchange halves; then the plan buffer. Fresh memory is zero,
// which is every field's valid beginning, so no rank has to be first.
struct RankGroup::Region {
  std::atomic<uint64_t> layout;  // what the ranks must agree on
  SharedWord plan;
  RankSlot slots[kMaxRanks];

  int64_t static BytesFor(const RankGroupOptions& o) {
    return RoundUp(sizeof(Region)) + 2 * o.size * RoundUp(o.exchange_bytes) + RoundUp(o.plan_bytes);
  }
  uint8_t* After(int64_t offset) {
    return reinterpret_cast<uint8_t*>(this) + RoundUp(sizeof(Region)) + offset;
  }
};

RankGroup::RankGroup(const RankGroupOptions& options, std::function<void()> on_lost)
    : options_(options), on_lost_(std::move(on_lost)) {}

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Join(const RankGroupOptions& options,
                                                           std::function<void()> on_lost) {
  if (options.size < 1 || options.size > kMaxRanks || options.rank < 0 || options.rank >= options.size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of ", options.size,
                                                   " ranks: ranks count from 0 and there are 1..",
                                                   kMaxRanks));
  }
  std::unique_ptr<RankGroup> group(new RankGroup(options, std::move(on_lost)));
  QUIRE_RETURN_IF_ERROR(group->Map());
  RankSlot& slot = group->region_->slots[options.rank];
  group->BeatOnce();
  group->beat_thread_ = std::thread([raw = group.get()] { raw->BeatLoop(); });
  slot.joined.Advance();
  const int64_t deadline_us = FutexClockUs() + options.join_timeout_ms * 1000;
  for (int r = 0; r < options.size; ++r) {
    if (!group->region_->slots[r].joined.WaitFor(1, 0, deadline_us)) {
      if (group->region_->plan.lost()) return group->LostError();
      return absl::DeadlineExceededError(
          absl::StrCat("rank ", r, " did not join within ", options.join_timeout_ms, " ms"));
    }
  }
  // Every rank has the memory mapped: without its name nothing is left behind, however the processes end.
  group->Unlink();
  return group;
}

absl::Status RankGroup::Map() {
  const std::string name = absl::StrCat("/", options_.shm_name);
  const int fd = shm_open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(absl::StrCat("can't open shared memory ", name));
  mapped_bytes_ = Region::BytesFor(options_);
  if (ftruncate(fd, mapped_bytes_) != 0) {
    close(fd);
    return ErrnoError(absl::StrCat("can't size shared memory to ", mapped_bytes_, " bytes"));
  }
  void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return ErrnoError("can't map shared memory");
  region_ = static_cast<Region*>(memory);
  const uint64_t mine = static_cast<uint64_t>(mapped_bytes_) * (kMaxRanks + 1) + options_.size;
  uint64_t seen = 0;
  if (!region_->layout.compare_exchange_strong(seen, mine) && seen != mine) {
    return absl::InvalidArgumentError("the ranks of this group were started with different sizes");
  }
  return absl::OkStatus();
}

RankGroup::~RankGroup() {
  if (beat_thread_.joinable()) {
    {
      MutexLock lock(&mutex_);
      stop_ = true;
    }
    beat_thread_.join();
  }
  if (region_ == nullptr) return;
  munmap(region_, mapped_bytes_);
  Unlink();
}

void RankGroup::Unlink() const {
  if (options_.rank == 0) shm_unlink(absl::StrCat("/", options_.shm_name).c_str());
}

absl::Status RankGroup::AllReady(const RankFacts& facts) {
  RankSlot& own = region_->slots[options_.rank];
  own.metrics_port.store(facts.metrics_port);
  own.weight_bytes.store(facts.weight_bytes);
  own.ready.Advance();
  for (int r = 0; r < options_.size; ++r) {
    if (!region_->slots[r].ready.WaitFor(1, 0)) return LostError();
  }
  return absl::OkStatus();
}

RankFacts RankGroup::facts(int rank) const {
  const RankSlot& slot = region_->slots[rank];
  return {slot.metrics_port.load(), slot.weight_bytes.load()};
}

void RankGroup::BeginStep() { region_->slots[options_.rank].step_started_us.store(FutexClockUs()); }
void RankGroup::EndStep() { region_->slots[options_.rank].step_started_us.store(0); }

bool RankGroup::Healthy() const {
  if (lost() || region_->plan.lost()) return false;  // a peer's Lose counts at once, before our next beat
  const int64_t now_us = FutexClockUs();
  for (int r = 0; r < options_.size; ++r) {
    const RankSlot& slot = region_->slots[r];
    const int64_t started_us = slot.step_started_us.load();
    if (slot.left.load() != 0) return false;
    if (now_us - slot.beat_us.load() > options_.stale_ms * 1000) return false;
    if (started_us != 0 && now_us - started_us > options_.step_limit_ms * 1000) return false;
  }
  return true;
}

void RankGroup::Lose() {
  if (lost_.exchange(true)) return;
  region_->plan.MarkLost();
  for (int r = 0; r < options_.size; ++r) {
    RankSlot& slot = region_->slots[r];
    for (SharedWord* word : {&slot.joined, &slot.ready, &slot.exchange, &slot.ack}) word->MarkLost();
  }
  if (on_lost_) on_lost_();
}

void RankGroup::AskToDrain() { region_->slots[options_.rank].drain_asked.store(1); }

bool RankGroup::drain_asked() const {
  for (int r = 0; r < options_.size; ++r) {
    if (region_->slots[r].drain_asked.load() != 0) return true;
  }
  return false;
}

void RankGroup::Leave() {
  leaving_.store(true);
  region_->slots[options_.rank].left.store(1);
}

void RankGroup::BeatOnce() { region_->slots[options_.rank].beat_us.store(FutexClockUs()); }

bool RankGroup::PeerSilent(int64_t now_us) const {
  for (int r = 0; r < options_.size; ++r) {
    const RankSlot& slot = region_->slots[r];
    const int64_t beat_us = slot.beat_us.load();
    const bool watched = r != options_.rank && beat_us != 0 && slot.left.load() == 0;
    if (watched && now_us - beat_us > options_.stale_ms * 1000) {
      Log(LogLevel::kError, "rank_silent", "rank", r, "silent_ms", (now_us - beat_us) / 1000);
      return true;
    }
  }
  return false;
}

void RankGroup::BeatLoop() {
  MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Milliseconds(kBeatMs))) {
    BeatOnce();
    if (leaving_.load() || lost()) continue;
    if (region_->plan.lost() || PeerSilent(FutexClockUs())) {
      mutex_.Unlock();  // on_lost may take its time, or end this object's process
      Lose();
      mutex_.Lock();
    }
  }
}

SharedWord& RankGroup::exchange_word(int rank) { return region_->slots[rank].exchange; }
SharedWord& RankGroup::plan_word() { return region_->plan; }
SharedWord& RankGroup::ack_word(int rank) { return region_->slots[rank].ack; }

std::span<float> RankGroup::exchange(int rank, uint32_t parity) {
  const int64_t half = RoundUp(options_.exchange_bytes);
  auto* begin = reinterpret_cast<float*>(region_->After((2 * rank + parity) * half));
  return {begin, static_cast<size_t>(options_.exchange_bytes) / sizeof(float)};
}

std::span<uint8_t> RankGroup::plan_buffer() {
  uint8_t* begin = region_->After(2 * options_.size * RoundUp(options_.exchange_bytes));
  return {begin, static_cast<size_t>(options_.plan_bytes)};
}

absl::Status RankGroup::LostError() const {
  return absl::UnavailableError("a rank of this worker group died or stopped: the group is lost");
}

}  // namespace quire::worker
