#include "gateway/generation/choice_buffer.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {
namespace {

std::vector<TokenId> TagIds(const Tokenizer& tokenizer, ToolForm form) {
  std::vector<TokenId> ids;
  for (const std::string_view tag : CallTags(form)) {
    if (const auto id = tokenizer.AddedToken(tag)) ids.push_back(*id);
  }
  return ids;
}

}  // namespace

ChoiceBuffer::ChoiceBuffer(uint32_t choice, const Tokenizer& tokenizer, const ChoiceRules& rules)
    : choice_(choice),
      tokenizer_(tokenizer),
      detokenizer_(tokenizer, /*skip_special_tokens=*/true, TagIds(tokenizer, rules.calls.form)),
      matcher_(rules.stops),
      stop_ids_(rules.stop_ids),
      separate_(rules.reasoning.separate),
      echo_alone_(rules.echo_alone),
      split_(rules.reasoning) {
  if (rules.calls.form != ToolForm::kNone) calls_.emplace(rules.calls);
  if (rules.loop_guard) loop_guard_.emplace();
}

void ChoiceBuffer::Push(TokenId id, std::optional<SampledToken> sampled) {
  if (ended()) return;
  const ReasoningSplit::Part part = split_.Push(id);
  ++tokens_;
  ++textless_;
  if (echo_alone_) return;
  if (part.kind == PieceKind::kReasoning) ++textless_reasoning_;
  if (std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end()) return;
  if (part.is_tag) {
    PushTag(id, std::move(sampled));
  } else {
    PushText(id, std::move(sampled));
  }
  if (ended() || !loop_guard_ || !loop_guard_->Push(id)) return;
  Finish(Ending::Kind::kLength);
  // What was held back may have had a stop string in it.
  end_->loop = end_->kind == Ending::Kind::kLength;
}

// A character that the tag cut short ends before it.
void ChoiceBuffer::PushTag(TokenId id, std::optional<SampledToken> sampled) {
  std::string text = detokenizer_.Flush();
  if (separate_) return Queue(PieceKind::kReasoning, std::move(text));
  text += tokenizer_.BytesOf(id);
  if (sampled) sampled_.push_back(*std::move(sampled));
  Queue(PieceKind::kContent, std::move(text));
}

void ChoiceBuffer::PushText(TokenId id, std::optional<SampledToken> sampled) {
  std::string text = detokenizer_.Push(id);
  const std::string tags = split_.TakeTagsNewlines(text);
  const bool never_text = detokenizer_.Skips(id) || (separate_ && !tags.empty() && text.empty());
  if (sampled && !never_text) sampled_.push_back(*std::move(sampled));
  if (calls_ && split_.kind() == PieceKind::kContent) {
    if (!separate_) Queue(PieceKind::kContent, tags);
    return PushContent(std::move(text));
  }
  // The tag's newlines may begin no stop string: the same tokens are the answer, however it is said.
  if (split_.kind() == PieceKind::kContent) text = matcher_.Push(text);
  Queue(split_.kind(), separate_ ? std::move(text) : tags + text);
  if (matcher_.matched()) End(Ending::Kind::kStop);
}

void ChoiceBuffer::PushContent(std::string text) {
  QueueParts(calls_->Push(text));
  if (!ended() && calls_->over()) End(calls_->broke_off() ? Ending::Kind::kLength : Ending::Kind::kStop);
}

// No stop string goes across a call.
void ChoiceBuffer::QueueParts(std::vector<ToolCallSplit::Part> parts) {
  for (ToolCallSplit::Part& part : parts) {
    if (part.kind == PieceKind::kContent) {
      Queue(PieceKind::kContent, matcher_.Push(part.text));
      if (matcher_.matched()) return End(Ending::Kind::kStop);
      continue;
    }
    Queue(PieceKind::kContent, matcher_.Flush());
    Queue(Piece{.text = std::move(part.text), .kind = PieceKind::kToolCall, .call = std::move(part.call)});
  }
}

void ChoiceBuffer::Finish(Ending::Kind kind) {
  if (ended()) return;
  if (echo_alone_) return End(Ending::Kind::kLength);
  std::string rest = detokenizer_.Flush();
  if (calls_ && split_.kind() == PieceKind::kContent) {
    PushContent(std::exchange(rest, {}));
    if (ended()) return;
    QueueParts(calls_->Finish(/*cut=*/kind != Ending::Kind::kStop));
    if (ended()) return;
    if (calls_->broke_off()) kind = Ending::Kind::kLength;
    rest = matcher_.Flush();
  } else if (split_.kind() == PieceKind::kContent) {
    rest = matcher_.Push(rest);
    rest += matcher_.Flush();
  }
  Queue(split_.kind(), std::move(rest));
  End(kind);
}

void ChoiceBuffer::Queue(PieceKind kind, std::string text) {
  if (text.empty()) return;
  Queue(Piece{.text = std::move(text), .kind = separate_ ? kind : PieceKind::kContent});
}

void ChoiceBuffer::Queue(Piece piece) {
  held_ += textless_;
  piece.choice = choice_;
  piece.positions = std::exchange(textless_, 0);
  piece.tokens = std::exchange(sampled_, {});
  piece.reasoning_positions = std::exchange(textless_reasoning_, 0);
  pieces_.push_back(std::move(piece));
}

void ChoiceBuffer::End(Ending::Kind kind) {
  end_ = ChoiceEnd{.choice = choice_,
                   .kind = kind,
                   .positions = std::exchange(textless_, 0),
                   .reasoning_positions = std::exchange(textless_reasoning_, 0),
                   .called_tools = kind == Ending::Kind::kStop && calls_ && calls_->whole_calls() > 0,
                   .stop = matcher_.matched_stop()};
}

void ChoiceBuffer::TakePieces(uint64_t& room, std::vector<Piece>& pieces) {
  if (end_taken_) return;
  while (!pieces_.empty() && pieces_.front().positions <= room) {
    room -= pieces_.front().positions;
    held_ -= pieces_.front().positions;
    pieces.push_back(std::move(pieces_.front()));
    pieces_.pop_front();
  }
}

std::optional<ChoiceEnd> ChoiceBuffer::TakeEnd(uint64_t& room, bool out_of_budget) {
  if (end_taken_) return std::nullopt;
  const bool all_fits = pieces_.empty() && (!end_ || end_->positions <= room);
  if (out_of_budget && (!all_fits || (!ended() && room == 0))) {
    end_ = ChoiceEnd{.choice = choice_, .kind = Ending::Kind::kBudget};
    held_ = 0;
  } else if (!ended() || !all_fits) {
    return std::nullopt;
  }
  end_taken_ = true;
  room -= end_->positions;
  return end_;
}

}  // namespace quire::gateway
