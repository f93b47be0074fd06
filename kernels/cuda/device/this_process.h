// Who a process is, for others that get the name: on one host a pid alone is not enough, since containers
// count for themselves, and on another one it is somebody else's. Plain C++, for both forms of peer memory.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace quire::kernels::cuda {

struct ProcessName {
  char boot[40] = {};   // of the host since it started; "": it can't be told
  char space[40] = {};  // of pids
  int pid = 0;

  bool known() const { return boot[0] != '\0' && space[0] != '\0'; }
  bool SameHost(const ProcessName& other) const {
    return known() && std::memcmp(boot, other.boot, sizeof boot) == 0;
  }
  bool SameSpace(const ProcessName& other) const {
    return SameHost(other) && std::memcmp(space, other.space, sizeof space) == 0;
  }
  bool operator==(const ProcessName& other) const { return SameSpace(other) && pid == other.pid; }
};

inline ProcessName ThisProcess() {
  ProcessName name;
  if (std::FILE* const file = std::fopen("/proc/sys/kernel/random/boot_id", "re"); file != nullptr) {
    if (std::fgets(name.boot, sizeof name.boot, file) == nullptr) name.boot[0] = '\0';
    (void)std::fclose(file);
  }
  if (readlink("/proc/self/ns/pid", name.space, sizeof name.space - 1) < 0) name.space[0] = '\0';
  name.pid = getpid();
  return name;
}

}  // namespace quire::kernels::cuda
