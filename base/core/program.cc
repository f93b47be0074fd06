// The opening of every program, apart from base_core's other objects: only what is linked into a program is
// linked again when the commit, and with it the version, changes.
#include <cstdio>

#include "base/core/exit_code.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "base/core/version.h"

namespace quire {

int ParseOrExitCode(Options& options, int argc, const char* const* argv) {
  const absl::Status status = options.Parse(argc, argv);
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", options.program().c_str(), MessageOf(status).c_str());
    return kExitUsage;
  }
  if (options.version_requested()) {
    std::printf("%s %s\n", options.program().c_str(), Version());
    return 0;
  }
  if (options.help_requested()) {
    std::fputs(options.Help().c_str(), stdout);
    return 0;
  }
  return -1;
}

}  // namespace quire
