// A stand-in for quire-worker in process_driver_test: "exit CODE" says why and ends at once, "wait" lives
// until a signal ends it, "obedient" ends with 0 at SIGTERM, "stubborn" doesn't hear SIGTERM (both say when
// that holds by opening the FIFO named next, so that a test knows).
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (std::strcmp(argv[1], "exit") == 0) {
    std::fprintf(stderr, "first line\ncan't go on: no such model\n");
    return argc > 2 ? std::atoi(argv[2]) : 70;
  }
  const bool obedient = std::strcmp(argv[1], "obedient") == 0;
  if ((obedient || std::strcmp(argv[1], "stubborn") == 0) && argc > 2) {
    // Waited for, not handled: ThreadSanitizer may keep a handler from running until the next signal.
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, nullptr);
    // To read as well: that waits for nobody, and whoever opens the FIFO to read finds a writer.
    if (open(argv[2], O_RDWR | O_CLOEXEC) < 0) return 3;
    int received = 0;
    if (obedient && sigwait(&term, &received) == 0) return 0;
  }
  while (true) pause();
}
