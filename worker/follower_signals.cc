#include "worker/follower_signals.h"

#include "absl/strings/str_cat.h"
#include "base/core/shutdown.h"

namespace quire::worker {

FollowerSignals::FollowerSignals(RankGroup& group, absl::Duration patience)
    : group_(group), patience_(patience), thread_([this] { Wait(); }) {}

FollowerSignals::~FollowerSignals() {
  ended_.Notify();
  RequestShutdown();
  thread_.join();
}

void FollowerSignals::Wait() {
  WaitForShutdownSignal();
  group_.AskToDrain();
  if (ended_.WaitForNotificationWithTimeout(patience_)) return;
  group_.Lose(absl::StrCat("rank ", group_.rank(), " was told to end and rank 0 did not say stop"));
}

}  // namespace quire::worker
