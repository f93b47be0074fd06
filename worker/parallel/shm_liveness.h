// Liveness of ranks on one host: each beats every 250 ms in the group's shared memory, and a lock on its file
// says that a rank's process lives. What the other shared-memory parts wait on are words there, which a loss
// marks, so that every wait ends. Owned by a RankGroup; a thread of its own beats and watches.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/core/mutex.h"
#include "worker/parallel/group_memory.h"
#include "worker/parallel/liveness.h"

namespace quire::worker {

struct ShmLivenessOptions {
  int rank = 0, size = 1;
  int64_t spin_us = 0;  // before a wait sleeps; 0 where ranks outnumber cores
  int64_t stale_ms = kUsualStaleMs;
};

class ShmLiveness final : public Liveness {
 public:
  ShmLiveness(const ShmLivenessOptions& options, LivenessCallbacks callbacks,
              std::unique_ptr<GroupMemory> memory);
  ~ShmLiveness() override;

  // Takes this rank's place and begins to beat. InvalidArgument: it is taken, or the ranks are not alike.
  absl::Status Begin();
  // Every rank has the memory open: without its name nothing is left behind, however the processes end. Each
  // takes it away, since any of them may be killed before it does.
  void AllAreHere();

  // Waits until `word`, of the group's memory, reached `target`. Unavailable: the group is lost.
  absl::Status Await(SharedWord& word, uint32_t target) const;
  GroupMemory& memory() const { return *memory_; }
  RankSlot& slot(int rank) const { return memory_->control().slots[rank]; }

  bool Healthy() const override;
  absl::Status LostError() const override;
  void AskToDrain() override { slot(rank()).drain_asked.store(1); }
  void Leave() override { slot(rank()).left.store(1); }

 private:
  void Spread(const std::string& why) override;
  absl::Status TakePlace();
  void BeatOnce() { slot(rank()).beats.fetch_add(1); }
  void BeatLoop();
  void Look(RankWatch& watch);  // what a beat is for, beside the beat
  bool drain_asked() const;
  std::vector<RankState> States() const;

  const ShmLivenessOptions options_;
  const std::unique_ptr<GroupMemory> memory_;
  std::atomic<bool> named_{true};  // the memory still has its name
  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread beat_thread_;
};

}  // namespace quire::worker
