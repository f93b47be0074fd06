#include "worker/worker.h"

#include <cstdio>

#include "base/core/status.h"
#include "worker/rank.h"
#include "worker/rank_cpus.h"

namespace quire::worker {

int RunWorker(const WorkerConfig& config) {
  WorkerConfig here = config;
  absl::Status ready = ChooseCpus(here);
  Rank rank(here);
  absl::StatusOr<int> code = 0;
  if (ready.ok()) ready = config.check ? rank.CheckModel() : rank.Load();
  if (!ready.ok()) {
    code = ready;
  } else if (config.check) {
    std::printf("%s\n", rank.host().Json().c_str());
  } else {
    code = config.rank == 0 ? rank.Serve() : rank.Follow();
  }
  if (code.ok()) return *code;
  std::fprintf(stderr, "quire-worker: %s\n", MessageOf(code.status()).c_str());
  return 1;
}

}  // namespace quire::worker
