// quire: the operator's program. One command so far: serve.

#include <cstdio>
#include <filesystem>
#include <string_view>

#include "base/core/exit_code.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "base/core/version.h"
#include "cli/launcher.h"

namespace {

constexpr char kUsage[] =
    "usage: quire COMMAND [--flag VALUE ...]\n\n"
    "  serve   a model's chat API on this machine: quire serve --model DIR (quire serve --help)\n"
    "  --version\n";

int Serve(int argc, const char* const* argv) {
  quire::cli::ServeOptions serve;
  quire::Options options(
      "quire serve",
      "Serves a model on this machine: a gateway, a coordinator and the workers of each group.");
  serve.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  if (const absl::Status wrong = serve.Check(); !wrong.ok()) {
    std::fprintf(stderr, "quire serve: %s\n", quire::MessageOf(wrong).c_str());
    return quire::kExitUsage;
  }
  quire::BlockShutdownSignals();
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    std::fprintf(stderr, "quire serve: can't find its programs: /proc/self/exe: %s: mount /proc\n",
                 error.message().c_str());
    return quire::kExitFailed;
  }
  const absl::Status status = quire::cli::Launcher(serve, self.parent_path()).Run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire serve: %s\n", quire::MessageOf(status).c_str());
  return absl::IsInvalidArgument(status) ? quire::kExitUsage : quire::kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "serve") return Serve(argc - 1, argv + 1);
  if (command == "--version") return std::printf("quire %s\n", quire::Version()), 0;
  const bool help = command == "--help" || command == "-h" || command == "help";
  if (!help && !command.empty()) std::fprintf(stderr, "quire: there is no command '%s'\n", argv[1]);
  std::fputs(kUsage, help ? stdout : stderr);
  return help ? 0 : quire::kExitUsage;
}
