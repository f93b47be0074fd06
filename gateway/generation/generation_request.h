// One request after it was parsed, validated and encoded: what gateway/api hands to Generation. Plain data,
// moved between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/ids.h"
#include "base/core/token_price.h"
#include "gateway/generation/reasoning_split.h"
#include "gateway/generation/tool_call_split.h"
#include "gateway/text/text_model.h"
#include "proto/inference.pb.h"

namespace quire::gateway {

struct GenerationRequest {
  RequestId id;
  std::string key_id;
  std::string model;
  std::shared_ptr<const TextModel> text;
  std::string bundle_digest;  // its; the prompt's ids mean nothing to a group with another one
  std::vector<TokenId> prompt;
  v1::Sampling sampling;
  uint64_t seed = 0;
  uint32_t choices = 1;
  uint32_t max_tokens = 0;  // of each; 0: the prompt's echo alone
  // The prompt's own tokens are scored, with as many of the likeliest as the sampled ones.
  bool scores_prompt = false;
  std::vector<std::string> stops;
  ReasoningRules reasoning = {};
  // Of what kind the grammar is, and its source, which a request's prompts share; null: any answer will do.
  std::string grammar_kind;
  std::shared_ptr<const std::string> grammar = nullptr;
  // Where the grammar waits for it, or it has a budget.
  std::optional<v1::Reasoning> reasoning_phase = {};
  bool loop_guard = false;
  CallRules calls = {};
  v1::RopeVariant rope = v1::ROPE_PLAIN;
  std::string cache_salt;
  std::vector<std::string> prefix_hashes;  // of the prompt's first blocks
  // Where there is no room at once, the coordinator may let it wait.
  bool may_queue = true;
  // Held until the coordinator has granted or refused the request.
  std::shared_ptr<const void> until_admitted = nullptr;

  // Of each choice. Of an echo one token is generated, which nobody is shown: it says that the prompt was
  // read.
  uint32_t positions_each() const { return static_cast<uint32_t>(PositionsEach(max_tokens)); }
};

// What is known of a choice: the tokens that were accepted, and whether more may come.
struct ChoiceSoFar {
  std::vector<TokenId> ids;
  bool ended = false;
};

}  // namespace quire::gateway
