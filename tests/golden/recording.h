// What transformers computed for a model, as record_models.py wrote it; see there. Read-only test data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::golden {

struct Recording {
  std::string model_dir;
  std::string rope_scaling;  // for OpenCheckpoint; "" = plain
  int64_t tokenizer_size = 0;
  int64_t vocab_stride = 1;  // of each row every vocab_stride-th logit is recorded
  std::vector<int32_t> prompt_ids, greedy_ids;
  std::vector<float> margins;       // top-2 margin of each greedy id
  std::vector<int64_t> logit_rows;  // positions in prompt + greedy ids
  std::vector<float> logits;        // fp32 reference, [logit_rows, columns]
  int64_t columns = 0;
  double bf16_rms_error = 0.0, bf16_max_error = 0.0;  // of transformers' own bf16 run

  // What the recorded rows were computed from: prompt and greedy ids but the last.
  std::vector<int32_t> AllIds() const;
};

// `name` is a file of tests/golden/data/models without its suffix. The demo model's weights are not in the
// repository: its folder is $QUIRE_DEMO_MODEL or models/smollm2-135m-instruct, and NotFound says how to make
// it.
absl::StatusOr<Recording> LoadRecording(const std::string& name);

}  // namespace quire::golden
