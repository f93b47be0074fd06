#include "gateway/generation/wire_messages.h"

namespace quire::gateway {
namespace {

uint32_t WaitMs(int64_t wait_us) { return static_cast<uint32_t>(wait_us / 1000 + 1); }

}  // namespace

v1::AdmitRequest AdmitMessage(const GenerationRequest& request, const std::string& gateway_id,
                              int64_t wait_us) {
  v1::AdmitRequest admit;
  admit.set_request_id(request.id.ToBytes());
  admit.set_attempt(1);
  admit.set_key_id(request.key_id);
  admit.set_model(request.model);
  admit.set_choices(request.choices);
  admit.set_prompt_tokens(request.prompt.size());
  admit.set_max_tokens(request.max_tokens);
  admit.set_gateway_id(gateway_id);
  admit.set_rope_wanted(request.rope == v1::ROPE_SCALED ? v1::ROPE_WANTED_SCALED : v1::ROPE_WANTED_PLAIN);
  admit.set_max_wait_ms(request.may_queue ? WaitMs(wait_us) : 0);
  admit.set_bundle_digest(request.bundle_digest);
  admit.mutable_prefix_hashes()->Assign(request.prefix_hashes.begin(), request.prefix_hashes.end());
  return admit;
}

v1::ReadmitRequest ReadmitMessage(const GenerationRequest& request, uint64_t accepted,
                                  const v1::Placement& last, int64_t wait_us) {
  v1::ReadmitRequest readmit;
  readmit.set_request_id(request.id.ToBytes());
  readmit.set_model(request.model);
  readmit.set_key_id(request.key_id);
  readmit.set_prompt_tokens(request.prompt.size());
  readmit.set_tokens_so_far(request.prompt.size() + accepted);
  readmit.set_max_tokens(request.positions_each());
  readmit.set_choices(request.choices);
  readmit.set_numerics_id(last.numerics_id());
  readmit.set_max_wait_ms(WaitMs(wait_us));
  readmit.set_bundle_digest(request.bundle_digest);
  readmit.mutable_prefix_hashes()->Assign(request.prefix_hashes.begin(), request.prefix_hashes.end());
  return readmit;
}

v1::GenerateRequest GenerateMessage(const GenerationRequest& request, uint32_t attempt,
                                    const std::vector<ChoiceSoFar>& choices, const PromptScores* scores,
                                    uint64_t group_epoch) {
  v1::GenerateRequest message;
  message.set_request_id(request.id.ToBytes());
  message.set_attempt(attempt);
  message.mutable_prompt_ids()->Assign(request.prompt.begin(), request.prompt.end());
  for (size_t i = 0; i < choices.size(); ++i) {
    v1::Choice* choice = message.add_choices();
    choice->set_index(static_cast<uint32_t>(i));
    choice->set_done(choices[i].ended);
    if (!choices[i].ended)
      choice->mutable_resumed_ids()->Assign(choices[i].ids.begin(), choices[i].ids.end());
  }
  *message.mutable_sampling() = request.sampling;
  message.set_seed(request.seed);
  message.set_rope_variant(request.rope);
  message.set_cache_salt(request.cache_salt);
  message.set_max_tokens(request.positions_each());
  message.set_group_epoch(group_epoch);
  if (request.grammar != nullptr) {
    message.mutable_grammar()->set_kind(request.grammar_kind);
    message.mutable_grammar()->set_source(*request.grammar);
  }
  if (scores != nullptr) {
    message.mutable_scoring()->set_from(static_cast<uint32_t>(scores->next()));
    message.mutable_scoring()->set_top_logprobs(scores->top_each());
  }
  if (request.reasoning_phase) *message.mutable_reasoning() = *request.reasoning_phase;
  return message;
}

}  // namespace quire::gateway
