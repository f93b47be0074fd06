// The body of POST /v1/chat/completions, wholly validated: what passes here can't hurt anything behind it.
// Unknown fields are ignored as OpenAI does; a known field that is out of range, or that this version can't
// honour yet, is refused with its path; declared_chat.h lists all that are known, docs/API.md has the table.
// Pure and fuzzed (tests/fuzz/chat_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"
#include "gateway/api/pipeline/stream_fields.h"

namespace quire::gateway {

struct ChatRequest {
  SamplingRequest sampling;
  ChatPrompt prompt;
  bool stream = false;
  UsageFrames usage_frames = UsageFrames::kOnFinish;
  bool separate_reasoning = true;  // where the door can
  bool exclude_reasoning = false;  // from the answer; it is made and counted
};

ApiResult<ChatRequest> ParseChatRequest(std::string_view body);
// The same of a body that was parsed, or that says what came in another form.
ApiResult<ChatRequest> ReadChatRequest(const nlohmann::ordered_json& body);

}  // namespace quire::gateway
