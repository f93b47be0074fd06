#include "base/core/shutdown.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace quire {
namespace {

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

ImpatientShutdown::ImpatientShutdown(std::function<void()> hurry)
    : hurry_(std::move(hurry)), thread_([this] {
        WaitForShutdownSignal();
        {
          MutexLock lock(&mutex_);
          if (over_) return;
        }
        hurry_();
      }) {}

ImpatientShutdown::~ImpatientShutdown() {
  {
    MutexLock lock(&mutex_);
    over_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGTERM);  // its own: the process's signals stay what they are
  thread_.join();
}

}  // namespace quire
