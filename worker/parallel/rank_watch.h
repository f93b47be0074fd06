// Judges the ranks of a group by what one of them sees at each of its own beats: who is dead, whose beats
// stopped, whose host can't be reached, and who is in a step (or a wait) for longer than it may take. A round
// counts for two beats of time at most, however late it comes (the host slept, a debugger held all, the
// machine is overloaded). So a pause of everybody kills nobody, a clock that jumps does nothing, and on a
// machine that is always late a fault is found all the same, later. Pure: the caller gives the time. Owned
// and called by the beat thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quire::worker {

// The connections to a rank, by what crosses on each: a firewall or a router may drop any one alone.
enum Flow : size_t { kBeatFlow, kExchangeFlow, kPlanFlow, kRecordFlow, kFlows };

// How far a rank's host has taken what was sent on one of them: whether that is cut shows there, whatever the
// rank's process does meanwhile. Where nothing is sent, nothing is waited for.
struct AckState {
  uint64_t acked_bytes = 0;
  bool waiting = false;  // for more, which the host had room for
};

// What a rank shows of itself.
struct RankView {
  uint64_t beats = 0;  // 0 until its first
  bool left = false;   // its silence is no death
  bool dead = false;   // its process is no more
  uint64_t step = 0;   // 0: in none; a new number for each
  int64_t step_limit_us = 0;
  std::array<AckState, kFlows> acks;
};

struct RankVerdict {
  enum class Fault { kDead, kSilent, kCut, kOverdue } fault = Fault::kSilent;
  int rank = 0;
  int64_t us = 0;         // of silence, cut off, or in the step
  Flow flow = kBeatFlow;  // what is cut
};

struct RankWatchLimits {
  int64_t beat_us = 250'000;        // beats, and rounds, come that often
  int64_t silence_us = 10'000'000;  // a rank without a beat for so long hangs
  int64_t cut_us = 1'250'000;       // a host that takes nothing of what is sent to it for so long is cut off
};

class RankWatch {
 public:
  RankWatch(int self, int size, const RankWatchLimits& limits) : self_(self), limits_(limits), seen_(size) {}

  // One round, right after this rank's own beat. The first fault found, if any.
  std::optional<RankVerdict> Look(int64_t now_us, std::span<const RankView> ranks);

 private:
  struct Seen {
    uint64_t beats = 0, step = 0;
    int64_t silent_us = 0, in_step_us = 0;
    std::array<uint64_t, kFlows> acked_bytes{};
    std::array<int64_t, kFlows> cut_us{};
  };

  static void Note(const RankView& now, int64_t awake_us, Seen& seen);
  bool IsWatched(int rank, const RankView& now) const;
  std::optional<RankVerdict> JudgeLife(int rank, const RankView& now) const;
  // Where a rank was silent for most of a step that is overdue, and for half of what it may be, that rank is
  // the reason.
  std::optional<RankVerdict> JudgeStep(int rank, std::span<const RankView> ranks) const;

  const int self_;
  const RankWatchLimits limits_;
  std::optional<int64_t> last_us_;
  std::vector<Seen> seen_;
};

}  // namespace quire::worker
