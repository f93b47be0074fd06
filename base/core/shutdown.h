// SIGTERM and SIGINT as a plain wait. Main calls BlockShutdownSignals before it starts a thread (so that
// every thread inherits the mask) and WaitForShutdownSignal once everything runs; what to drain afterwards is
// main's own story, and an ImpatientShutdown is what a later signal does meanwhile. Which later signal means
// "hurry" is one rule for all programs, Hurries: whoever ends a whole tree of processes tells each of them,
// and so does the launcher, so SIGTERM may come twice and mean one thing.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>

#include "base/core/clock.h"
#include "base/core/mutex.h"

namespace quire {

void BlockShutdownSignals();
// Returns the signal's number. SIGTERM and SIGINT only.
int WaitForShutdownSignal();
// Makes WaitForShutdownSignal return, from any thread (used by a component that can't go on).
void RequestShutdown();

struct FirstSignal {
  int number = 0;
  int64_t at_ms = 0;
};

enum class SigtermAgain {
  kHurries,   // of the operator's own program: if it comes late enough
  kSameThing  // of those that the launcher ends, too: it hurries them by SIGINT
};

// Whether a signal after the first one cuts the drain short: another number does; the same one a second after
// the first or sooner is the first one once more (`timeout` and service managers send it so).
bool Hurries(const FirstSignal& first, int number, int64_t now_ms, SigtermAgain sigterm_again);

// While it lives, a shutdown signal that Hurries (where SIGTERM again is the same thing) calls `hurry`, once,
// on a thread of its own. Owned by main, made when the first signal was taken.
class ImpatientShutdown {
 public:
  ImpatientShutdown(int first_signal, const Clock& clock, std::function<void()> hurry);
  ~ImpatientShutdown();  // returns when `hurry` isn't running
  ImpatientShutdown(const ImpatientShutdown&) = delete;
  ImpatientShutdown& operator=(const ImpatientShutdown&) = delete;

 private:
  void Wait();

  const FirstSignal first_;
  const Clock& clock_;
  const std::function<void()> hurry_;
  Mutex mutex_;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quire
