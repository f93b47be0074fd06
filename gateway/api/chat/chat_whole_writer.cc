#include "gateway/api/chat/chat_whole_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {

void ChatWholeWriter::Delta(const Piece& piece, Sink& /*sink*/) {
  Choice& choice = choices_[piece.choice];
  if (form_.exclude_reasoning && piece.kind == PieceKind::kReasoning) {
    choice.excluded += piece.positions;
  } else {
    choice.pieces.push_back(piece);
  }
}

void ChatWholeWriter::End(const ChoiceEnd& end, Sink& /*sink*/) { choices_[end.choice].end = end; }

void ChatWholeWriter::Fail(const http::ApiError& error, Sink& sink) { sink.Append(http::ErrorBody(error)); }

void ChatWholeWriter::AppendLogprobs(const Choice& choice, Sink& sink) const {
  if (!head_.logprobs) return;
  sink.Append(",\"logprobs\":{\"content\":[");
  bool first = true;
  for (const Piece& piece : choice.pieces) {
    if (piece.tokens.empty()) continue;
    if (!std::exchange(first, false)) sink.Append(",");
    sink.Append(LogprobEntries(piece.tokens, head_.text->tokenizer()));
  }
  sink.Append("],\"refusal\":null}");
}

void ChatWholeWriter::AppendTexts(const Choice& choice, PieceKind kind, Sink& sink) {
  std::string escaped;
  for (const Piece& piece : choice.pieces) {
    if (piece.kind != kind) continue;
    escaped.clear();
    AppendJsonEscaped(piece.text, escaped);
    sink.Append(escaped, {piece.choice, piece.positions});
  }
}

void ChatWholeWriter::AppendCalls(const Choice& choice, Sink& sink) const {
  std::string escaped;
  for (const Piece& piece : choice.pieces) {
    if (piece.kind != PieceKind::kToolCall) continue;
    escaped.clear();
    if (!piece.call.name.empty()) {
      const char* before = piece.call.index > 0 ? ",{" : "{";
      escaped = absl::StrCat(piece.call.index > 0 ? Absl(kCallEnd) : "", before, CallStart(head_.id, piece));
    }
    AppendJsonEscaped(piece.text, escaped);
    sink.Append(escaped, {piece.choice, piece.positions});
  }
  sink.Append(kCallEnd);
}

// Reasoning and calls are there if there are any; the content is there always, were it empty, and null only
// beside calls.
void ChatWholeWriter::AppendMessage(const Choice& choice, Sink& sink) const {
  const auto has = [&](PieceKind kind) {
    return std::any_of(choice.pieces.begin(), choice.pieces.end(),
                       [kind](const Piece& piece) { return piece.kind == kind; });
  };
  const uint32_t index = choice.end.choice;
  sink.Append(absl::StrCat("{\"index\":", index, ",\"message\":{\"role\":\"assistant\","),
              {index, choice.excluded});
  if (has(PieceKind::kReasoning)) {
    sink.Append("\"reasoning_content\":\"");
    AppendTexts(choice, PieceKind::kReasoning, sink);
    sink.Append("\",");
  }
  const bool has_calls = has(PieceKind::kToolCall);
  if (has_calls && !has(PieceKind::kContent)) {
    sink.Append("\"content\":null");
  } else {
    sink.Append("\"content\":\"");
    AppendTexts(choice, PieceKind::kContent, sink);
    sink.Append("\"");
  }
  if (has_calls) {
    sink.Append(",\"tool_calls\":[");
    AppendCalls(choice, sink);
    sink.Append("]");
  }
  sink.Append("}");
}

void ChatWholeWriter::AppendChoice(const Choice& choice, Sink& sink) const {
  const uint32_t index = choice.end.choice;
  if (index > 0) sink.Append(",");
  AppendMessage(choice, sink);
  AppendLogprobs(choice, sink);
  const bool is_last = index + 1 == choices_.size();
  sink.Append(absl::StrCat(",", FinishJson(choice.end), "}"), {index, is_last ? 0 : choice.end.positions});
}

// The last choice's tokens without text count with the usage: whoever has read that shall have been counted.
// So the body's last byte is a frame of its own.
void ChatWholeWriter::Close(const Usage& usage, Sink& sink) {
  sink.Append(ChatHead(head_, "chat.completion") + "\"choices\":[");
  for (const Choice& choice : choices_) AppendChoice(choice, sink);
  const ChoiceEnd& last = choices_.back().end;
  sink.Append(absl::StrCat("],\"usage\":", UsageJson(usage)), {last.choice, last.positions});
  sink.Append("}");
}

}  // namespace quire::gateway
