// What worker/rpc hands to the engine, already validated, and what the engine tells back. Plain data, moved
// between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/batch_plan.h"

namespace quire::worker {

// One choice of one request.
struct GenerationRequest {
  std::vector<TokenId> prompt_ids;
  std::vector<TokenId> resumed_ids;  // output that an earlier attempt delivered
  SamplingParams sampling;
  std::vector<TokenId> stop_ids;
  bool ignore_eos = false;  // stop_ids do not stop
  int64_t min_tokens = 0;   // stop_ids are not sampled before that many
  int64_t max_tokens = 1;   // of the whole output, resumed ids counted
  uint64_t seed = 0;
  uint32_t choice = 0;
  bool scaled_rope = false;
  std::string cache_salt;
};

enum class FinishCause { kStop, kLength };

// Whom a request's updates are for: a session of its gateway, and the request's tag there. The engine only
// hands it back.
struct ReplyTo {
  uint64_t session = 0, tag = 0;
};

// What one step brought to one request. The last update has `finished` or a `failed` that is not OK.
struct Update {
  ReplyTo to;
  std::optional<int64_t> cached_tokens;  // in the first update only: prompt tokens found in the prefix cache
  int64_t first_position = 0;            // of ids[0] in the output
  std::vector<TokenId> ids;
  std::vector<float> logprobs;  // one per id, if asked for
  std::optional<FinishCause> finished;
  absl::Status failed;
};

// What one step brought to all. Called on the emitter's thread (emitter.h): must not wait for a reader.
using UpdateSink = std::function<void(std::vector<Update>)>;

}  // namespace quire::worker
