// The body of POST /v1/chat/completions, wholly validated: what passes here can't hurt anything behind it.
// Unknown fields are ignored as OpenAI does; a known field that is out of range, or that this version can't
// honour yet (unsupported_fields.h), is refused with its path; docs/API.md has the table of all, and names
// the few that are ignored. Pure and fuzzed (tests/fuzz/chat_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/error_response.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

// What the client asked for; nullopt = it didn't say, so that the checkpoint's own default holds.
struct SamplingWish {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
};

enum class UsageFrames {
  kOnFinish,   // stream_options absent: usage rides on the chunk with the finish_reason
  kLastChunk,  // include_usage: a last chunk of its own with no choices
  kNone,       // include_usage: false
};

struct ChatRequest {
  std::string model;
  std::vector<ChatTurn> turns;
  bool stream = false;
  UsageFrames usage_frames = UsageFrames::kOnFinish;
  SamplingWish sampling;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  std::optional<uint64_t> seed;  // negative seeds as two's complement
  std::map<int32_t, double> logit_bias;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  int64_t min_tokens = 0;
  // The path of the field that asks for an answer without reasoning; empty: none does.
  std::string no_reasoning_field;
  bool separate_reasoning = false;

  // The last turn is the assistant's: it is continued, not answered.
  bool ContinuesAssistant() const { return !turns.empty() && turns.back().role == "assistant"; }
};

ApiResult<ChatRequest> ParseChatRequest(std::string_view body);

// What only the model's vocabulary can tell: ids of logit_bias and stop_token_ids below `vocabulary_size`.
std::optional<http::ApiError> CheckTokenIds(const ChatRequest& request, int64_t vocabulary_size);

}  // namespace quire::gateway
