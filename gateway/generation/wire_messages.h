// A request as the wires say it: to the coordinator (Admit, Readmit) and to a worker group (Generate). Pure;
// used by Generation only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/core/ids.h"
#include "gateway/generation/generation_request.h"
#include "gateway/generation/prompt_scores.h"
#include "proto/coordinator.pb.h"
#include "proto/inference.pb.h"

namespace quire::gateway {

v1::AdmitRequest AdmitMessage(const GenerationRequest& request, const std::string& gateway_id,
                              int64_t wait_us);
// `accepted`: tokens that earlier attempts brought; `last`: the placement of the last one.
v1::ReadmitRequest ReadmitMessage(const GenerationRequest& request, uint64_t accepted,
                                  const v1::Placement& last, int64_t wait_us);
// `choices`: what is known of each; `scores`: of the prompt, null where none are wanted. The request is
// always said whole, so that counts, positions and noise are those of an undisturbed run.
v1::GenerateRequest GenerateMessage(const GenerationRequest& request, uint32_t attempt,
                                    const std::vector<ChoiceSoFar>& choices, const PromptScores* scores,
                                    uint64_t group_epoch);

}  // namespace quire::gateway
