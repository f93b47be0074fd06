#include "worker/model/checkpoint.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& model_dir, std::string config_json,
                                          std::string_view rope_scaling, std::string_view weights) {
  Checkpoint checkpoint;
  absl::StatusOr<ModelConfig> config = ParseModelConfig(config_json, rope_scaling);
  if (!config.ok()) {
    return absl::Status(config.status().code(), absl::StrCat(model_dir, ": ", config.status().message()));
  }
  checkpoint.config = *config;
  if (weights != "bf16" && weights != "int8") {
    return absl::InvalidArgumentError(
        absl::StrCat("--weights ", std::string(weights), ": give bf16 or int8"));
  }
  checkpoint.config.weights = weights == "int8" ? kernels::MatrixFormat::kInt8 : kernels::MatrixFormat::kBf16;
  checkpoint.config_json = std::move(config_json);
  QUIRE_ASSIGN_OR_RETURN(checkpoint.files, Safetensors::Open(model_dir));
  checkpoint.sample = checkpoint.files->SampleDigest();
  return checkpoint;
}

}  // namespace quire::worker
