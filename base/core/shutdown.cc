#include "base/core/shutdown.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace quire {
namespace {

constexpr int64_t kOnceMoreMs = 1000;

sigset_t ShutdownSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void BlockShutdownSignals() {
  const sigset_t set = ShutdownSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int WaitForShutdownSignal() {
  const sigset_t set = ShutdownSignals();
  int signal_number = 0;
  sigwait(&set, &signal_number);
  return signal_number;
}

void RequestShutdown() { kill(getpid(), SIGTERM); }

bool Hurries(const FirstSignal& first, int number, int64_t now_ms, SigtermAgain sigterm_again) {
  if (number != first.number) return true;
  if (number == SIGTERM && sigterm_again == SigtermAgain::kSameThing) return false;
  return now_ms - first.at_ms > kOnceMoreMs;
}

ImpatientShutdown::ImpatientShutdown(int first_signal, const Clock& clock, std::function<void()> hurry)
    : first_{first_signal, clock.NowMs()},
      clock_(clock),
      hurry_(std::move(hurry)),
      thread_([this] { Wait(); }) {}

void ImpatientShutdown::Wait() {
  while (true) {
    const int number = WaitForShutdownSignal();
    {
      MutexLock lock(&mutex_);
      if (over_) return;
    }
    if (Hurries(first_, number, clock_.NowMs(), SigtermAgain::kSameThing)) return hurry_();
  }
}

ImpatientShutdown::~ImpatientShutdown() {
  {
    MutexLock lock(&mutex_);
    over_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGTERM);  // its own: the process's signals stay what they are
  thread_.join();
}

}  // namespace quire
