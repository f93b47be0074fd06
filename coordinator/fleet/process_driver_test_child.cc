// A stand-in for quire-worker in process_driver_test: "exit CODE" says why and ends at once, "wait" lives
// until a signal ends it, "stubborn" ignores SIGTERM (and says so by creating the file named next, so that a
// test knows).
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
  if (std::strcmp(argv[1], "stubborn") == 0 && argc > 2) {
    std::signal(SIGTERM, SIG_IGN);
    if (std::FILE* ready = std::fopen(argv[2], "w")) std::fclose(ready);
  }
  while (true) pause();
}
