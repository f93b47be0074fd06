#include <cstdio>

#include "base/core/log_options.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "coordinator/coordinator.h"

int main(int argc, char** argv) {
  quire::coordinator::CoordinatorConfig config;
  quire::Options options("quire-coordinator",
                         "Decides who may, what it costs, which group serves it and which groups exist.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::InitLogging("coordinator", config.log);
  quire::BlockShutdownSignals();
  auto coordinator = quire::coordinator::Coordinator::Start(config);
  if (!coordinator.ok()) {
    std::fprintf(stderr, "quire-coordinator: %s\n", quire::MessageOf(coordinator.status()).c_str());
    return absl::IsDataLoss(coordinator.status()) ? quire::coordinator::kExitLedgerLost : 1;
  }
  quire::WaitForShutdownSignal();
  quire::ImpatientShutdown second([&] { (*coordinator)->HurryStop(); });
  (*coordinator)->Stop();
  return 0;
}
