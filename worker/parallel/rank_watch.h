// Judges the ranks of a group by what one of them sees at each of its own beats: who is dead, whose beats
// stopped, and who is in a step (or a wait) for longer than it may take. A round counts for two beats of time
// at most, however late it comes (the host slept, a debugger held all, the machine is overloaded). So a pause
// of everybody kills nobody, a clock that jumps does nothing, and on a machine that is always late a fault is
// found all the same, later. Pure: the caller gives the time. Owned and called by the beat thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quire::worker {

// What a rank shows of itself.
struct RankView {
  uint64_t beats = 0;  // 0 until its first
  bool left = false;   // its silence is no death
  bool dead = false;   // its process is no more
  uint64_t step = 0;   // 0: in none; a new number for each
  int64_t step_limit_us = 0;
};

struct RankVerdict {
  enum class Fault { kDead, kSilent, kOverdue } fault = Fault::kSilent;
  int rank = 0;
  int64_t us = 0;  // of silence, or in the step
};

class RankWatch {
 public:
  // A rank is silent after `silence_us` without a beat; beats come every `beat_us`.
  RankWatch(int self, int size, int64_t beat_us, int64_t silence_us)
      : self_(self), beat_us_(beat_us), silence_us_(silence_us), seen_(size) {}

  // One round, right after this rank's own beat. The first fault found, if any.
  std::optional<RankVerdict> Look(int64_t now_us, std::span<const RankView> ranks);

 private:
  struct Seen {
    uint64_t beats = 0, step = 0;
    int64_t silent_us = 0, in_step_us = 0;
  };

  const int self_;
  const int64_t beat_us_, silence_us_;
  std::optional<int64_t> last_us_;
  std::vector<Seen> seen_;
};

}  // namespace quire::worker
