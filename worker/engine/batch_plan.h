// One step's work as plain data: what the scheduler decides and every rank runs. Built by the engine thread
// of rank 0, sent to followers by worker/parallel, read by the model runner. The `sample` pointers are rank
// 0's alone (followers get a flag) and point into sequences that outlive the step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/core/ids.h"

namespace quire::worker {

// What a request asked of sampling. Neutral defaults; ranges are validated by the gateway and checked again
// by worker/rpc.
struct SamplingParams {
  float temperature = 1.0f;  // 0 = greedy
  int32_t top_k = 0;         // 0 = off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // prompt and output
  float presence_penalty = 0.0f;    // output only
  float frequency_penalty = 0.0f;   // output only
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<TokenId> masked_ids;  // never sampled at this position (stop ids before min_tokens)
  bool logprobs = false;
};

// All that a sampled token is a function of, beside the logits (DESIGN invariant 2).
struct SampleSpec {
  SamplingParams params;
  uint64_t seed = 0;
  uint32_t choice = 0;
  uint32_t position = 0;  // index of the token to be sampled in the choice's output
  const std::vector<TokenId>* prompt_ids = nullptr;
  const std::vector<TokenId>* output_ids = nullptr;
};

// `ids` run at positions [position, position + ids.size()) of the sequence whose pages are `blocks`.
struct SequencePlan {
  int64_t position = 0;
  std::vector<TokenId> ids;
  std::vector<int32_t> blocks;  // block table covering position + ids.size()
  bool scaled_rope = false;
  bool wants_logits = false;           // of the last row
  const SampleSpec* sample = nullptr;  // set on rank 0 where wants_logits
};

struct BatchPlan {
  uint64_t step = 0;
  std::vector<SequencePlan> sequences;

  int64_t tokens() const {
    int64_t total = 0;
    for (const SequencePlan& sequence : sequences) total += static_cast<int64_t>(sequence.ids.size());
    return total;
  }
};

struct SampledToken {
  TokenId id = -1;
  float logprob = 0.0f;  // of the raw logits
  bool failed = false;   // this row's logits were not finite: the request fails, the others go on
};

// One entry per sequence of the plan that wanted logits, in plan order. Empty on followers.
struct StepResult {
  std::vector<SampledToken> tokens;
};

}  // namespace quire::worker
