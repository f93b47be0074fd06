// What loading would refuse and a check can tell beforehand, beside what the model's own parts check: names,
// the tokenizer against the model, rotary tables, the kernels. Called before the load.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/model_config.h"
#include "worker/worker_config.h"

namespace quire::worker {

// Of those flags that become parts of file names.
absl::Status CheckNames(const WorkerConfig& config);
// One more than the highest id of tokenizer.json, which the model must have.
absl::StatusOr<int64_t> CheckTokenizer(std::string_view tokenizer_json, const ModelConfig& model);
absl::Status CheckRopes(const ModelConfig& model);
// That this machine has the instruction set of --isa. Makes a backend: a load, which makes its own, needs no
// such check.
absl::Status CheckKernels(const std::string& isa);

}  // namespace quire::worker
