// The command lines of the launcher's children.
#include "absl/strings/str_cat.h"
#include "cli/launcher.h"

namespace quire::cli {

std::vector<std::string> Launcher::CoordinatorArgs() const {
  std::vector<std::string> args = {"--data=" + options_.data,
                                   absl::StrCat("--port=", grpc_port_.port()),
                                   absl::StrCat("--admin-port=", admin_port_.port()),
                                   "--ready-file=" + run_ + "/coordinator",
                                   "--model=" + options_.model,
                                   "--model-name=" + options_.ModelName(),
                                   absl::StrCat("--tensor-parallel=", ranks_),
                                   absl::StrCat("--groups=", groups_),
                                   "--backend=" + backend_,
                                   "--worker-binary=" + programs_ + "/quire-worker"};
  if (!gpus_.empty()) args.push_back("--gpus=" + gpus_);
  for (std::string& flag : options_.log.FlagsFor(coordinator_.log_file())) args.push_back(std::move(flag));
  for (std::string& flag : options_.PassedOnTo(ServeOptions::Program::kCoordinator)) {
    args.push_back(std::move(flag));
  }
  return args;
}

std::vector<std::string> Launcher::GatewayArgs() const {
  std::vector<std::string> args = {"--host=" + options_.host,
                                   absl::StrCat("--port=", api_port_.port()),
                                   "--coordinator=" + coordinator_grpc_,
                                   "--pepper-file=" + options_.data + "/pepper",
                                   "--cors-origin=" + options_.cors_origin,
                                   "--ready-file=" + run_ + "/gateway"};
  for (std::string& flag : options_.log.FlagsFor(gateway_.log_file())) args.push_back(std::move(flag));
  for (std::string& flag : options_.PassedOnTo(ServeOptions::Program::kGateway)) {
    args.push_back(std::move(flag));
  }
  return args;
}

}  // namespace quire::cli
