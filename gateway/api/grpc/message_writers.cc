#include "gateway/api/grpc/message_writers.h"

#include <utility>

#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

void FillUsage(const Usage& usage, v1::ChatUsage& out) {
  out.set_prompt_tokens(usage.counts.prompt);
  out.set_completion_tokens(usage.counts.completion);
  out.set_cached_tokens(usage.counts.cached);
  out.set_cost_nano_usd(usage.cost_nano_usd);
}

void FillChance(const TokenChance& chance, const Tokenizer& tokenizer, v1::ChatTokenLogprob& out) {
  out.set_token(TokenAsText(chance.id, tokenizer));
  out.set_logprob(chance.logprob);
  out.set_bytes(std::string(tokenizer.BytesOf(chance.id)));
}

template <typename Message>
void AddLogprobs(const Piece& piece, const AnswerHead& head, Message& message) {
  for (const SampledToken& sampled : piece.tokens) {
    v1::ChatTokenLogprob& out = *message.add_logprobs();
    FillChance(sampled.token, head.text->tokenizer(), out);
    for (const TokenChance& top : sampled.top) FillChance(top, head.text->tokenizer(), *out.add_top());
  }
}

template <typename Message>
void FillHead(const AnswerHead& head, Message& message) {
  message.set_id("chatcmpl-" + head.id.ToHex());
  message.set_created_unix_s(head.created_unix_s);
  message.set_model(head.model);
}

}  // namespace

v1::ChatChunk ChunkWriter::Chunk(uint32_t choice) const {
  v1::ChatChunk chunk;
  FillHead(head_, chunk);
  chunk.set_choice(choice);
  return chunk;
}

void ChunkWriter::Delta(const Piece& piece, Sink& sink) {
  v1::ChatChunk chunk = Chunk(piece.choice);
  chunk.set_content(piece.text);
  AddLogprobs(piece, head_, chunk);
  sink.Append(chunk.SerializeAsString(), {piece.choice, piece.positions});
}

void ChunkWriter::End(const ChoiceEnd& end, Sink& sink) {
  if (++ended_ == head_.choices) {
    last_ = end;
    return;
  }
  v1::ChatChunk chunk = Chunk(end.choice);
  chunk.set_finish_reason(FinishReasonOf(end.kind));
  sink.Append(chunk.SerializeAsString(), {end.choice, end.positions});
}

void ChunkWriter::Close(const Usage& usage, Sink& sink) {
  v1::ChatChunk chunk = Chunk(last_->choice);
  chunk.set_finish_reason(FinishReasonOf(last_->kind));
  FillUsage(usage, *chunk.mutable_usage());
  sink.Append(chunk.SerializeAsString(), {last_->choice, last_->positions});
}

WholeMessageWriter::WholeMessageWriter(AnswerHead head) : head_(std::move(head)) {
  FillHead(head_, answer_);
  for (uint32_t i = 0; i < head_.choices; ++i) {
    answer_.add_choices()->set_index(i);
    positions_.push_back({.choice = i, .count = 0});
  }
}

void WholeMessageWriter::Delta(const Piece& piece, Sink& /*sink*/) {
  v1::ChatChoice& choice = *answer_.mutable_choices(static_cast<int>(piece.choice));
  choice.mutable_content()->append(piece.text);
  AddLogprobs(piece, head_, choice);
  positions_[piece.choice].count += piece.positions;
}

void WholeMessageWriter::End(const ChoiceEnd& end, Sink& /*sink*/) {
  answer_.mutable_choices(static_cast<int>(end.choice))->set_finish_reason(FinishReasonOf(end.kind));
  positions_[end.choice].count += end.positions;
}

void WholeMessageWriter::Close(const Usage& usage, Sink& sink) {
  FillUsage(usage, *answer_.mutable_usage());
  sink.Append(answer_.SerializeAsString(), positions_);
}

}  // namespace quire::gateway
