#include "gateway/api/chat/chat_whole_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
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

// Reasoning comes first, if there is any; the content is there always, were it empty.
void ChatWholeWriter::AppendMessage(const Choice& choice, Sink& sink) const {
  const uint32_t index = choice.end.choice;
  sink.Append(absl::StrCat("{\"index\":", index, ",\"message\":{\"role\":\"assistant\","),
              {index, choice.excluded});
  std::string escaped;
  bool in_reasoning = !choice.pieces.empty() && choice.pieces.front().kind == PieceKind::kReasoning;
  if (in_reasoning) sink.Append("\"reasoning_content\":\"");
  if (!in_reasoning) sink.Append("\"content\":\"");
  for (const Piece& piece : choice.pieces) {
    escaped.clear();
    if (in_reasoning && piece.kind == PieceKind::kContent) escaped = "\",\"content\":\"";
    in_reasoning = piece.kind == PieceKind::kReasoning;
    AppendJsonEscaped(piece.text, escaped);
    sink.Append(escaped, {index, piece.positions});
  }
  sink.Append(in_reasoning ? "\",\"content\":\"\"}" : "\"}");
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
