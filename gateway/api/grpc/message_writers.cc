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
  out.set_reasoning_tokens(usage.reasoning_tokens);
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

template <typename Message>
void SetFinish(const ChoiceEnd& end, Message& message) {
  message.set_finish_reason(FinishReasonOf(end));
  if (end.loop) message.set_finish_detail("loop");
}

}  // namespace

v1::ChatChunk ChunkWriter::Chunk(uint32_t choice) const {
  v1::ChatChunk chunk;
  FillHead(head_, chunk);
  chunk.set_choice(choice);
  return chunk;
}

void ChunkWriter::Append(const v1::ChatChunk& chunk, uint32_t positions, Sink& sink) {
  const uint32_t excluded = std::exchange(excluded_[chunk.choice()], 0);
  sink.Append(chunk.SerializeAsString(), {chunk.choice(), positions + excluded});
}

void ChunkWriter::Delta(const Piece& piece, Sink& sink) {
  if (exclude_reasoning_ && piece.kind == PieceKind::kReasoning) {
    excluded_[piece.choice] += piece.positions;
    return;
  }
  v1::ChatChunk chunk = Chunk(piece.choice);
  switch (piece.kind) {
    case PieceKind::kContent:
      chunk.set_content(piece.text);
      break;
    case PieceKind::kReasoning:
      chunk.set_reasoning_content(piece.text);
      break;
    case PieceKind::kToolCall:
      v1::ChatToolCallPart& part = *chunk.mutable_tool_call();
      part.set_index(piece.call.index);
      part.set_name(piece.call.name);
      if (!piece.call.name.empty()) part.set_id(CallIdOf(head_.id, piece.choice, piece.call.index));
      part.set_arguments_json(piece.text);
  }
  AddLogprobs(piece, head_, chunk);
  Append(chunk, piece.positions, sink);
}

v1::ChatChunk ChunkWriter::Finish(const ChoiceEnd& end) const {
  v1::ChatChunk chunk = Chunk(end.choice);
  SetFinish(end, chunk);
  return chunk;
}

void ChunkWriter::End(const ChoiceEnd& end, Sink& sink) {
  if (++ended_ == head_.choices) {
    last_ = end;
  } else {
    Append(Finish(end), end.positions, sink);
  }
}

void ChunkWriter::Close(const Usage& usage, Sink& sink) {
  v1::ChatChunk chunk = Finish(*last_);
  FillUsage(usage, *chunk.mutable_usage());
  Append(chunk, last_->positions, sink);
}

WholeMessageWriter::WholeMessageWriter(AnswerHead head, bool exclude_reasoning)
    : head_(std::move(head)), exclude_reasoning_(exclude_reasoning) {
  FillHead(head_, answer_);
  for (uint32_t i = 0; i < head_.choices; ++i) {
    answer_.add_choices()->set_index(i);
    positions_.push_back({.choice = i, .count = 0});
  }
}

void WholeMessageWriter::Delta(const Piece& piece, Sink& /*sink*/) {
  positions_[piece.choice].count += piece.positions;
  if (exclude_reasoning_ && piece.kind == PieceKind::kReasoning) return;
  v1::ChatChoice& choice = *answer_.mutable_choices(static_cast<int>(piece.choice));
  switch (piece.kind) {
    case PieceKind::kContent:
      choice.mutable_content()->append(piece.text);
      break;
    case PieceKind::kReasoning:
      choice.mutable_reasoning_content()->append(piece.text);
      break;
    case PieceKind::kToolCall:
      if (!piece.call.name.empty()) {
        v1::ChatToolCall& call = *choice.add_tool_calls();
        call.set_id(CallIdOf(head_.id, piece.choice, piece.call.index));
        call.set_name(piece.call.name);
      }
      choice.mutable_tool_calls(static_cast<int>(piece.call.index))
          ->mutable_arguments_json()
          ->append(piece.text);
  }
  AddLogprobs(piece, head_, choice);
}

void WholeMessageWriter::End(const ChoiceEnd& end, Sink& /*sink*/) {
  SetFinish(end, *answer_.mutable_choices(static_cast<int>(end.choice)));
  positions_[end.choice].count += end.positions;
}

void WholeMessageWriter::Close(const Usage& usage, Sink& sink) {
  FillUsage(usage, *answer_.mutable_usage());
  sink.Append(answer_.SerializeAsString(), positions_);
}

}  // namespace quire::gateway
