// From what the client asked for to what the worker is told: the prompt's token ids, the sampling parameters
// with the checkpoint's defaults filled in, max_tokens, seed and RoPE variant. The same for every door. Pure
// but for the seed's randomness; any thread. A megabyte of text takes a second or two (text_threads.h); a
// prompt that can't fit the model's context is given up as soon as that is sure.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"
#include "gateway/generation/generation_request.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

// `gone`: the client has left, so that what is left of the work need not be done (ClientLeft).
ApiResult<GenerationRequest> PlanGeneration(const SamplingRequest& request, Prompt prompt,
                                            const CatalogModel& model, const v1::KeyFact& key,
                                            const RequestId& id, const std::function<bool()>& gone);

// The same of each of up to kMaxPrompts prompts, in their order: the generations' ids are made of the
// request's, and they share their form. An error of one is the request's.
ApiResult<std::vector<GenerationRequest>> PlanGenerations(const SamplingRequest& request,
                                                          std::vector<Prompt> prompts,
                                                          const CatalogModel& model, const v1::KeyFact& key,
                                                          const RequestId& id,
                                                          const std::function<bool()>& gone);

// Whether an answer can be held until it has ended: its text has a bound, that of its tokens; what is
// said of each of them has one of its own, some 60 MiB of body, and so have the answers to several prompts.
// kRepeated: of a stream that says all of it again at its end, which is smaller.
enum class Holding { kWhole, kRepeated };
std::optional<http::ApiError> CheckHeld(std::span<const GenerationRequest> plans,
                                        const SamplingRequest& request, Holding holding);

// Whether so many scores of prompts can be said; they are gathered until the first token, streamed or not.
std::optional<http::ApiError> CheckScored(std::span<const GenerationRequest> plans);

// A prompt's ids by themselves, which may be none.
ApiResult<std::vector<TokenId>> EncodePrompt(Prompt prompt, const CatalogModel& model,
                                             const std::function<bool()>& gone);
// A conversation as the model's template writes it.
ApiResult<std::string> RenderPrompt(const ChatPrompt& prompt, const TextModel& text);

}  // namespace quire::gateway
