// The ranks of one group on one host: their shared memory, who is alive, and whether the group still is. Each
// rank's process owns one RankGroup. A thread of its own beats every 250 ms in shared memory and watches the
// peers' beats; a peer that is silent for stale_ms, or a rank that calls Lose, loses the group for everyone:
// every wait on a SharedWord of the region ends, and on_lost runs once in each rank. A group of one rank
// works the same way. What always holds: a lost group never comes back; its processes exit and a new epoch
// starts with new memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {

inline constexpr int kMaxRanks = 64;

struct RankGroupOptions {
  std::string shm_name;  // below /dev/shm, without '/'; new for every epoch
  int rank = 0, size = 1;
  int64_t spin_us = 0;               // before a wait sleeps; 0 where ranks outnumber cores
  int64_t exchange_bytes = 1 << 20;  // of one rank's half of the exchange buffer
  int64_t plan_bytes = 4 << 20;      // the largest encoded plan
  int64_t join_timeout_ms = 120'000;
  int64_t stale_ms = 1000;         // a rank silent for longer is dead
  int64_t step_limit_ms = 30'000;  // a step that runs longer is stuck
};

// What a rank tells the others once, before AllReady.
struct RankFacts {
  int32_t metrics_port = 0;
  int64_t weight_bytes = 0;
};

class RankGroup {
 public:
  // Maps the region (the first to come makes it) and starts beating. Returns once every rank joined.
  // InvalidArgument: the ranks were started with different sizes; DeadlineExceeded: not all came.
  static absl::StatusOr<std::unique_ptr<RankGroup>> Join(const RankGroupOptions& options,
                                                         std::function<void()> on_lost);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  const RankGroupOptions& options() const { return options_; }

  // Waits until every rank called it: the end of loading. Unavailable if the group is lost meanwhile.
  absl::Status AllReady(const RankFacts& facts);
  // Of any rank, valid after AllReady.
  RankFacts facts(int rank) const;

  // Around every step, by the engine thread.
  void BeginStep();
  void EndStep();
  // Every rank beats and none is stuck in a step. Any thread.
  bool Healthy() const;
  bool lost() const { return lost_.load(); }
  // Ends the group for every rank. Any thread.
  void Lose();
  // This rank was told to end, and the group with it: rank 0 looks for such words and drains. Any thread.
  void AskToDrain();
  bool drain_asked() const;
  // A deliberate end: from here on this rank's silence is no death (and the peers' neither, for this rank).
  void Leave();

  // For the communicator and the plan channel. word(r): raised by rank r once per exchange; plan_word: by
  // rank 0 once per plan; ack_word(r): by follower r once per plan taken.
  SharedWord& exchange_word(int rank);
  SharedWord& plan_word();
  SharedWord& ack_word(int rank);
  // One rank's half (parity 0 or 1) of the exchange buffer.
  std::span<float> exchange(int rank, uint32_t parity);
  std::span<uint8_t> plan_buffer();
  absl::Status LostError() const;

 private:
  struct Region;
  RankGroup(const RankGroupOptions& options, std::function<void()> on_lost);
  absl::Status Map();
  void Unlink() const;  // rank 0 only
  void BeatLoop();
  void BeatOnce();
  bool PeerSilent(int64_t now_us) const;

  const RankGroupOptions options_;
  const std::function<void()> on_lost_;
  Region* region_ = nullptr;  // mapped; unmapped in the destructor
  int64_t mapped_bytes_ = 0;
  std::atomic<bool> lost_{false}, leaving_{false};
  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread beat_thread_;
};

}  // namespace quire::worker
