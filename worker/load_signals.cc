#include "worker/load_signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace quire::worker {
namespace {

int OpenSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

// Whether a signal is pending; false once `over` is written.
bool WaitForSignal(int signals, int over) {
  pollfd fds[] = {{signals, POLLIN, 0}, {over, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) {
  }
  return (fds[1].revents & POLLIN) == 0 && (fds[0].revents & POLLIN) != 0;
}

}  // namespace

LoadSignals::LoadSignals(std::function<void()> end)
    : signals_(OpenSignals()), over_(eventfd(0, EFD_CLOEXEC)), end_(std::move(end)), thread_([this] {
        if (WaitForSignal(signals_.get(), over_.get())) end_();
      }) {}

LoadSignals::~LoadSignals() {
  eventfd_write(over_.get(), 1);
  thread_.join();
}

}  // namespace quire::worker
