// What every door asks of a model beside its prompt: which model, how tokens are chosen and where the answer
// ends. Parsed and range-checked (sampling_fields.h); nullopt = the client didn't say, so that the
// checkpoint's own default holds. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

struct SamplingRequest {
  std::string model;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_tokens;            // of each choice; 0: its prompt's echo alone
  const char* max_tokens_param = "max_tokens";  // the field that it comes in
  int64_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool loop_guard = false;       // ends a choice that says the same over and over (loop_guard.h)
  std::optional<uint64_t> seed;  // negative seeds as two's complement
  std::map<int32_t, double> logit_bias;
  TextFormat format = {};
  std::optional<uint32_t> think_budget;  // tokens of reasoning
  uint32_t choices = 1;
  bool logprobs = false;       // of the sampled tokens,
  uint32_t top_logprobs = 0;   // and of so many of the likeliest in the place of each;
  bool scores_prompt = false;  // and the same of the prompt's own tokens
};

}  // namespace quire::gateway
