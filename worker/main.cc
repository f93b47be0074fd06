// quire-worker: one rank of a worker group.

#include <cstdio>
#include <cstdlib>

#include "base/core/exit_code.h"
#include "base/core/log_options.h"
#include "base/core/model_name.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "worker/join_group.h"
#include "worker/worker.h"

int main(int argc, char** argv) {
  quire::worker::WorkerConfig config;
  quire::Options options("quire-worker", "One rank of a worker group: computes a model's tokens.");
  const absl::Status defaults = quire::worker::TakeLwsDefaults(std::getenv, config);
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  if (!defaults.ok()) {
    std::fprintf(stderr, "quire-worker: %s\n", quire::MessageOf(defaults).c_str());
    return quire::kExitUsage;
  }
  if (const absl::Status name = quire::CheckModelName(config.ModelName()); !config.check && !name.ok()) {
    std::fprintf(stderr, "quire-worker: %s\n", quire::MessageOf(name).c_str());
    return quire::kExitUsage;
  }
  quire::InitLogging("worker", config.log);
  if (!config.check) quire::BlockShutdownSignals();  // a check just ends
  return quire::worker::RunWorker(config);
}
