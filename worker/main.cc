// quire-worker: one rank of a worker group.

#include "base/core/log_options.h"
#include "base/core/shutdown.h"
#include "worker/worker.h"

int main(int argc, char** argv) {
  quire::worker::WorkerConfig config;
  quire::Options options("quire-worker", "One rank of a worker group: computes a model's tokens.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::InitLogging("worker", config.log);
  quire::BlockShutdownSignals();
  return quire::worker::RunWorker(config);
}
