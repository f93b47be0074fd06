// One rank of a worker group, put together: shared memory, backend, model, and on rank 0 the engine and its
// gRPC server. Called once by main, which has blocked the shutdown signals.
#pragma once

#include "worker/worker_config.h"

namespace quire::worker {

// The program's exit code: 0 after SIGTERM or a stop by rank 0, 1 when it can't start (one line says why), 70
// when the group is lost.
int RunWorker(const WorkerConfig& config);

}  // namespace quire::worker
