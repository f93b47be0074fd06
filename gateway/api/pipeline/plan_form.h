// The part of a plan that says what an answer is held to: its grammar, and where its reasoning ends. Pure;
// any thread.
#pragma once

#include <optional>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"
#include "gateway/generation/generation_request.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {

// Of a plan whose prompt, sampling and `reasoning` are there. `chat`: null for what is no conversation.
std::optional<http::ApiError> PlanForm(const SamplingRequest& request, const ChatPrompt* chat,
                                       const TextModel& text, GenerationRequest& plan);

}  // namespace quire::gateway
