// What loading would refuse and a check can tell beforehand, beside what the model's own parts check: names,
// the tokenizer against the model, rotary tables. Pure but for the file that is read; called before the load.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/model_config.h"
#include "worker/worker_config.h"

namespace quire::worker {

// Of those flags that become parts of file names.
absl::Status CheckNames(const WorkerConfig& config);
// One more than the highest id of tokenizer.json, which the model must have.
absl::StatusOr<int64_t> CheckTokenizer(const std::string& model_dir, const ModelConfig& model);
absl::Status CheckRopes(const ModelConfig& model);

}  // namespace quire::worker
