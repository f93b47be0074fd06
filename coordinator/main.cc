#include <cstdio>
#include <string>

#include "base/core/exit_code.h"
#include "base/core/log_options.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "coordinator/coordinator.h"

namespace {

int ExitWith(const absl::Status& why) {
  if (!why.ok()) std::fprintf(stderr, "quire-coordinator: %s\n", quire::MessageOf(why).c_str());
  return quire::ExitCodeOf(why);
}

int EndGroups(const std::string& data) {
  const absl::Status ended = quire::coordinator::EndLocalGroups(data);
  if (ended.ok()) std::printf("quire-coordinator: no group that %s records runs any more\n", data.c_str());
  return ExitWith(ended);
}

}  // namespace

int main(int argc, char** argv) {
  quire::coordinator::CoordinatorConfig config;
  quire::Options options("quire-coordinator",
                         "Decides who may, what it costs, which group serves it and which groups exist.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::InitLogging("coordinator", config.log);
  if (const absl::Status wrong = config.Check(); !wrong.ok()) {
    ExitWith(wrong);
    return quire::kExitUsage;
  }
  if (config.end_groups) return EndGroups(config.data);
  quire::BlockShutdownSignals();
  auto coordinator = quire::coordinator::Coordinator::Start(config);
  if (!coordinator.ok()) return ExitWith(coordinator.status());
  const int first = quire::WaitForShutdownSignal();
  const quire::SystemClock clock{};
  quire::ImpatientShutdown second(first, clock, [&] { (*coordinator)->HurryStop(); });
  (*coordinator)->Stop();
  return 0;
}
