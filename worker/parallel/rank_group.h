// The ranks of one group on one host: who is alive, what they tell each other at the start, and whether the
// group still is. Each rank's process owns one RankGroup. A thread of its own beats every 250 ms in shared
// memory and watches all ranks (rank_watch.h): a peer that died or whose beats stop, a rank that stays in a
// step or a wait beyond its limit, or a rank that calls Lose, loses the group for everyone: every wait on a
// SharedWord ends, and on_lost runs once in each rank. A group of one rank works the same way. What always
// holds: a lost group never comes back; its processes exit and a new epoch starts with new memory; no wait is
// without a limit.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/group_memory.h"
#include "worker/parallel/rank_watch.h"

namespace quire::worker {

struct RankGroupOptions {
  std::shared_ptr<GroupName> shm;  // without '/'; new for every epoch
  int rank = 0, size = 1;
  int64_t spin_us = 0;  // before a wait sleeps; 0 where ranks outnumber cores
  BufferSizes buffers{1 << 20, 1 << 16};
  RankRecord agreement;               // what must be the same for all ranks, beside the buffers
  int64_t join_timeout_ms = 120'000;  // for all ranks to come, and to agree
  int64_t stale_ms = 10'000;  // a rank silent for longer hangs; a busy machine may stop any for seconds
};

class RankGroup {
 public:
  // Starts beating, and returns once every rank joined and has its buffers. `on_drain_asked` is called at
  // every beat from when a rank asked to drain. Both callbacks come on the beat thread, on_lost also from
  // Lose's. InvalidArgument: the ranks were started with different options; Unavailable: not all came;
  // ResourceExhausted: no room in /dev/shm.
  static absl::StatusOr<std::unique_ptr<RankGroup>> Join(const RankGroupOptions& options,
                                                         std::function<void()> on_lost,
                                                         std::function<void()> on_drain_asked = nullptr);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }

  // Every rank's record, in rank order, once all ranks called it; all ranks call it the same number of times.
  // The group is lost if another rank takes longer than `limit_us` to come.
  absl::StatusOr<std::vector<std::string>> AllGather(const std::string& record, int64_t limit_us);
  absl::StatusOr<std::vector<std::string>> AllGather(const std::string& record) {
    return AllGather(record, options_.join_timeout_ms * 1000);
  }

  // Around every step and every wait that may take only so long, by the engine thread (before there is one,
  // by the thread that starts the rank).
  void BeginTimed(uint64_t step, int64_t limit_us);
  void EndTimed();
  // What this rank is about from now on. Same thread.
  void Enter(Phase phase) { slot(rank()).phases.Enter(phase, step_, exchanges_in_step_); }
  void CountExchange() { ++exchanges_in_step_; }
  // Waits until `word` reached `target`. Unavailable: the group is lost.
  absl::Status Await(SharedWord& word, uint32_t target);

  // Nobody lost the group, and nobody left it. Any thread.
  bool Healthy() const;
  bool lost() const { return lost_.load(); }
  // Ends the group for every rank; the first reason is the one that all ranks tell. Any thread.
  void Lose(const std::string& why);
  // This rank was told to end, and the group with it: on_drain_asked of every rank hears it. Any thread.
  void AskToDrain();
  // A deliberate end: from here on this rank's silence is no death.
  void Leave() { slot(rank()).left.store(1); }
  // Unavailable, with the reason.
  absl::Status LostError() const;

  // For the communicator and the plan channel. word(r): raised by rank r once per exchange; plan_word: by
  // rank 0 once per plan; ack_word(r): by follower r once per plan taken.
  SharedWord& exchange_word(int rank) { return slot(rank).exchange; }
  SharedWord& plan_word() { return memory_->control().plan; }
  SharedWord& ack_word(int rank) { return slot(rank).ack; }
  std::span<float> exchange(int rank, uint32_t parity) { return memory_->exchange(rank, parity); }
  std::span<uint8_t> plan_buffer() { return memory_->plan(); }

 private:
  RankGroup(const RankGroupOptions& options, std::function<void()> on_lost,
            std::function<void()> on_drain_asked, std::unique_ptr<GroupMemory> memory);
  RankSlot& slot(int rank) const { return memory_->control().slots[rank]; }
  absl::Status TakePlace();
  absl::Status Gather();  // until all ranks are here, with their buffers
  absl::Status Agree();   // then the buffers
  // Marks the group lost for all ranks; false if this rank had seen that before.
  bool MarkLost(const std::string& why);
  void BeatOnce() { slot(rank()).beats.fetch_add(1); }
  void BeatLoop();
  void Look(RankWatch& watch);  // what a beat is for, beside the beat
  bool drain_asked() const;
  std::optional<std::string> Fault(RankWatch& watch) const;
  std::string DescribeOverdue(const RankVerdict& verdict) const;

  const RankGroupOptions options_;
  const std::function<void()> on_lost_, on_drain_asked_;
  const std::unique_ptr<GroupMemory> memory_;
  std::atomic<bool> lost_{false}, gathered_{false};
  // Of the engine thread.
  uint64_t step_ = 0, timed_ = 0;
  uint32_t exchanges_in_step_ = 0, gathers_ = 0;
  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread beat_thread_;
};

}  // namespace quire::worker
