#include "gateway/generation/testing/scripted_session.h"

#include <utility>

#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway::testing {

void TokenWriter::Accept(uint32_t cached_tokens) {
  v1::RequestUpdate update;
  update.mutable_accepted()->set_cached_tokens(cached_tokens);
  session_.Say(tag_, std::move(update));
}

void TokenWriter::Beat() { session_.Beat(); }

void TokenWriter::Text(const std::string& text) {
  for (const TokenId id : TinyIds(text)) Token(id);
}

void TokenWriter::Token(TokenId id) { session_.Say(tag_, Update(id)); }

void TokenWriter::Token(TokenId id, float logprob, const std::map<TokenId, float>& top) {
  v1::RequestUpdate update = Update(id);
  update.mutable_tokens()->add_logprobs(logprob);
  if (!top.empty()) {
    v1::TopLogprobs& out = *update.mutable_tokens()->add_top_logprobs();
    for (const auto& [top_id, top_logprob] : top) {
      out.add_ids(top_id);
      out.add_logprobs(top_logprob);
    }
  }
  session_.Say(tag_, std::move(update));
}

v1::RequestUpdate TokenWriter::Update(TokenId id) {
  v1::RequestUpdate update;
  update.mutable_tokens()->set_choice(choice_);
  update.mutable_tokens()->set_first_position(positions_[choice_]++);
  update.mutable_tokens()->add_ids(id);
  return update;
}

void TokenWriter::Scores(uint32_t first_position, uint32_t count, uint32_t top) {
  v1::RequestUpdate update;
  update.mutable_scores()->set_first_position(first_position);
  for (uint32_t position = first_position; position < first_position + count; ++position) {
    update.mutable_scores()->add_logprobs(-static_cast<float>(position));
    v1::TopLogprobs* likeliest = top > 0 ? update.mutable_scores()->add_top_logprobs() : nullptr;
    for (uint32_t i = 1; i <= top; ++i) {
      likeliest->add_ids(static_cast<int32_t>('0' + i));
      likeliest->add_logprobs(-static_cast<float>(i));
    }
  }
  session_.Say(tag_, std::move(update));
}

void TokenWriter::Finish(v1::FinishReason reason) {
  v1::RequestUpdate update;
  update.mutable_finished()->set_choice(choice_);
  update.mutable_finished()->set_reason(reason);
  session_.Say(tag_, std::move(update));
}

void TokenWriter::AwaitChoiceCancel() { session_.AwaitChoiceAbort(tag_, choice_); }

void TokenWriter::AwaitCancel() { session_.AwaitAbort(tag_); }

}  // namespace quire::gateway::testing
