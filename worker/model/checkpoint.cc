#include "worker/model/checkpoint.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& model_dir, std::string config_json,
                                          std::string_view rope_scaling) {
  Checkpoint checkpoint;
  absl::StatusOr<ModelConfig> config = ParseModelConfig(config_json, rope_scaling);
  if (!config.ok()) {
    return absl::Status(config.status().code(), absl::StrCat(model_dir, ": ", config.status().message()));
  }
  checkpoint.config = *config;
  checkpoint.config_json = std::move(config_json);
  QUIRE_ASSIGN_OR_RETURN(checkpoint.files, Safetensors::Open(model_dir));
  checkpoint.sample = checkpoint.files->SampleDigest();
  return checkpoint;
}

}  // namespace quire::worker
