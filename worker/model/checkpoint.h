// A checkpoint folder as a rank reads it at its start, once: what config.json says, and the safetensors files
// with their headers checked and a sample of their bytes taken; the weights themselves are mapped, not read.
// Checking, sizing, loading and numerics_id all work from it, so that they can't see different files. Owned
// by the composition root until the weights are loaded; the engine thread alone uses it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/model/model_config.h"
#include "worker/model/safetensors.h"

namespace quire::worker {

struct Checkpoint {
  std::string config_json;
  ModelConfig config;
  std::unique_ptr<const Safetensors> files;
  Digest sample{};  // Safetensors::SampleDigest
};

// `config_json` is the folder's config.json, which the caller has read; `rope_scaling` as ParseModelConfig
// takes it; `weights` is the value of --weights, bf16 or int8.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& model_dir, std::string config_json,
                                          std::string_view rope_scaling, std::string_view weights);

}  // namespace quire::worker
