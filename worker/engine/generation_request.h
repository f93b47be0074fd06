// What worker/rpc hands to the engine, already validated, and what the engine tells back. Plain data, moved
// between threads; a request never changes once it is shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/core/hash.h"
#include "kernels/sampling/token_counts.h"
#include "worker/engine/batch_plan.h"
#include "worker/engine/grammar.h"

namespace quire::worker {

using kernels::TokenLogprob;

// What one choice of a request begins with.
struct ChoiceStart {
  uint32_t index = 0;
  std::vector<TokenId> resumed_ids = {};  // output that an earlier attempt delivered
  bool done = false;                      // nothing is left to generate
};

// Of a choice's output: from its beginning, or from `start_id` on where that is its first token, up to
// `end_id`.
struct Reasoning {
  enum class Start { kInside, kMayOpen };
  Start start = Start::kInside;
  TokenId start_id = 0, end_id = 0;        // no stop ids
  std::optional<int64_t> max_tokens = {};  // between the two: once they have come, `end_id` comes next
};

// How likely the model held the prompt's own tokens to be: of each from position `from` on, at least 1, the
// logprob, as a sampled one's is told, and the likeliest ids in its place.
struct PromptScoring {
  int64_t from = 1;
  int32_t top_logprobs = 0;
};

struct GenerationRequest {
  std::vector<TokenId> prompt_ids;
  SamplingParams sampling;
  std::vector<TokenId> stop_ids;
  bool ignore_eos = false;  // stop_ids do not stop
  int64_t min_tokens = 0;   // stop_ids are not sampled before that many
  int64_t max_tokens = 1;   // of a choice's whole output, resumed ids counted
  uint64_t seed = 0;
  bool scaled_rope = false;
  int32_t adapter = 0;  // of the weights; 0: none
  std::string cache_salt;
  std::shared_ptr<const CompiledGrammar> grammar;  // null: any output will do
  std::optional<Reasoning> reasoning;              // before what the grammar is of
  std::optional<PromptScoring> scoring;
  std::vector<ChoiceStart> choices = std::vector<ChoiceStart>(1);  // no two of one index
};

// A request as all its choices share it, with what would else be worked out for each: of a long prompt that
// takes milliseconds, which the engine's thread doesn't have.
struct SharedRequest : GenerationRequest {
  explicit SharedRequest(GenerationRequest request);

  // What keys and values depend on, beside the tokens.
  std::string variant() const;

  std::vector<Digest> prompt_hashes;   // of the prompt's full blocks
  kernels::TokenCounts prompt_counts;  // where penalties look at them
};
// Any thread.
std::shared_ptr<const SharedRequest> Share(GenerationRequest request);

// kDone: of a choice that was handed in as done.
enum class FinishCause { kStop, kLength, kDone };

// Whom a request's updates are for: a session of its gateway, and the request's tag there. The engine only
// hands it back.
struct ReplyTo {
  uint64_t session = 0, tag = 0;
};

// What one step brought to one choice of a request, or to the request: `cached_tokens` is its first update
// and `ended` its last one, each alone and once. A choice's last one has `finished`. Scores of the prompt
// come before any token, in order, each once: an update of the request, with neither ids nor choice.
struct Update {
  ReplyTo to;
  // Of the prompt, found in the prefix cache by the choice that was admitted first; the others may have found
  // more, since it had computed it for them. 0 where no choice had anything to compute.
  std::optional<int64_t> cached_tokens;
  std::optional<absl::Status> ended;

  bool scores = false;  // of the prompt: logprobs, and top_logprobs, of its ids from first_position on

  uint32_t choice = 0;
  int64_t first_position = 0;  // of ids[0] in the choice's output
  std::vector<TokenId> ids;
  std::vector<float> logprobs;             // one per id, if asked for
  std::vector<TokenLogprob> top_logprobs;  // as many per id as were asked for, likeliest first
  std::optional<FinishCause> finished;
};

// What one step brought to all. Called on the emitter's thread (emitter.h): must not wait for a reader.
using UpdateSink = std::function<void(std::vector<Update>)>;

}  // namespace quire::worker
