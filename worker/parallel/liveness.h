// Who of a group is alive, and whether the group still is: one of the four parts of a RankGroup. Each rank's
// process has one, with a thread that beats and watches all ranks (rank_watch.h): a peer that died or can't
// be reached, whose beats stop, a rank that stays in a step or a wait beyond its limit, or one that calls
// Lose, loses the group for everyone: every wait of the group's other parts ends, and on_lost runs once in
// each rank. A group of one rank works the same way. What always holds: a lost group never comes back (its
// processes exit and a new epoch starts), and no wait is without a limit. Two forms: shm_liveness.h, and over
// TCP tcp/tcp_liveness.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "worker/parallel/phase_log.h"
#include "worker/parallel/rank_watch.h"
#include "worker/parallel/timed_mark.h"

namespace quire::worker {

inline constexpr int kMaxRanks = 64;
// A rank silent for longer hangs; a busy machine may stop any for seconds.
inline constexpr int64_t kUsualStaleMs = 10'000;

// Of a rank, at its place in the group. InvalidArgument says what can't be.
absl::Status CheckPlace(int rank, int size);

// Both come on the beat thread; on_lost also on that of who calls Lose. on_drain_asked comes at every beat
// from when a rank asked to drain.
struct LivenessCallbacks {
  std::function<void()> on_lost = nullptr, on_drain_asked = nullptr;
};

// What a rank shows of itself, with the words for it.
struct RankState {
  RankView view;
  bool waiting = false;  // for another rank
  std::string doing;
};

// The waiting wait for those who don't: those are named where a rank is overdue.
std::string DescribeFault(const RankVerdict& verdict, std::span<const RankState> ranks);

class Liveness {
 public:
  virtual ~Liveness() = default;
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Around every step and every wait that may take only so long, by the engine thread (before there is one,
  // by the thread that starts the rank).
  void BeginTimed(uint64_t step, int64_t limit_us);
  void EndTimed() { timed_.End(); }
  // What this rank is about from now on. Same thread.
  void Enter(Phase phase) { phases_.Enter(phase, step_, exchanges_in_step_); }
  void CountExchange() { ++exchanges_in_step_; }

  // Nobody lost the group, and nobody left it. Any thread.
  virtual bool Healthy() const = 0;
  bool lost() const { return lost_.load(); }
  // Ends the group for every rank; the first reason is the one that all ranks tell. Any thread.
  void Lose(const std::string& why);
  // As Lose, by a rank that says itself why it ends: without on_lost. False if this rank knew that the group
  // is lost.
  bool MarkLost(const std::string& why);
  // Unavailable, with the reason.
  virtual absl::Status LostError() const = 0;
  // This rank was told to end, and the group with it: on_drain_asked of every rank hears it. Any thread.
  virtual void AskToDrain() = 0;
  // A deliberate end: from here on this rank's silence is no death. Any thread.
  virtual void Leave() = 0;

 protected:
  // The marks outlive this.
  Liveness(int rank, int size, LivenessCallbacks callbacks, TimedMark& timed, PhaseLog& phases)
      : rank_(rank), size_(size), callbacks_(std::move(callbacks)), timed_(timed), phases_(phases) {}
  // Tells all ranks and ends every wait of this one. Any thread, once.
  virtual void Spread(const std::string& why) = 0;
  void HearDrainAsked() const {
    if (callbacks_.on_drain_asked) callbacks_.on_drain_asked();
  }

 private:
  const int rank_, size_;
  const LivenessCallbacks callbacks_;
  TimedMark& timed_;
  PhaseLog& phases_;
  std::atomic<bool> lost_{false};
  // Of the engine thread.
  uint64_t step_ = 0, timed_steps_ = 0;
  uint32_t exchanges_in_step_ = 0;
};

}  // namespace quire::worker
