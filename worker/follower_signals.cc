#include "worker/follower_signals.h"

#include "base/core/shutdown.h"

namespace quire::worker {

FollowerSignals::FollowerSignals(Liveness& group)
    : thread_([&group] {
        WaitForShutdownSignal();
        group.AskToDrain();
      }) {}

FollowerSignals::~FollowerSignals() {
  RequestShutdown();
  thread_.join();
}

}  // namespace quire::worker
