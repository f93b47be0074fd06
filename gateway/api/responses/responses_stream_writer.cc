#include "gateway/api/responses/responses_stream_writer.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

struct EventNames {
  const char* delta;
  const char* done;
  const char* field;  // of the whole text
};

EventNames NamesOf(PieceKind kind) {
  if (kind == PieceKind::kToolCall) {
    return {"response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments"};
  }
  if (kind == PieceKind::kReasoning) {
    return {"response.reasoning_text.delta", "response.reasoning_text.done", "text"};
  }
  return {"response.output_text.delta", "response.output_text.done", "text"};
}

}  // namespace

void ResponsesStreamWriter::AppendEvent(const char* type, const std::string& fields) {
  absl::StrAppend(&frame_, "event: ", type, "\ndata: {\"type\":\"", type,
                  "\",\"sequence_number\":", sequence_++, fields, "}\n\n");
}

void ResponsesStreamWriter::AppendFrame(Sink& sink) {
  sink.Append(frame_, {0, std::exchange(positions_, 0)});
  frame_.clear();
}

void ResponsesStreamWriter::AppendResponse(const char* type, const char* status, const std::string& error,
                                           const Usage* usage) {
  AppendEvent(type, absl::StrCat(",\"response\":", ResponseStart(head_, status, error, end_, echo_), output_,
                                 ResponseEnd(usage)));
}

void ResponsesStreamWriter::Begin(const Usage& /*usage*/, Sink& sink) {
  begun_ = true;
  AppendResponse("response.created", "in_progress", "null", nullptr);
  AppendResponse("response.in_progress", "in_progress", "null", nullptr);
  AppendFrame(sink);
}

std::string ResponsesStreamWriter::Place() const {
  return absl::StrCat(",\"item_id\":\"", open_->id, "\",\"output_index\":", open_->place,
                      open_->kind == PieceKind::kToolCall ? "" : ",\"content_index\":0");
}

void ResponsesStreamWriter::OpenItem(const Piece& piece) {
  open_ = ItemOf(piece, items_++, head_);
  text_.clear();
  logprobs_.clear();
  AppendEvent("response.output_item.added",
              absl::StrCat(",\"output_index\":", open_->place, ",\"item\":", NewItem(*open_, head_)));
  if (open_->kind == PieceKind::kToolCall) return;
  AppendEvent("response.content_part.added", absl::StrCat(Place(), ",\"part\":", ItemPart(*open_, "", "")));
}

void ResponsesStreamWriter::CloseItem(bool is_whole) {
  if (!open_) return;
  const EventNames names = NamesOf(open_->kind);
  const bool is_message = open_->kind == PieceKind::kContent;
  AppendEvent(names.done, absl::StrCat(Place(), ",\"", names.field, "\":\"", text_, "\"",
                                       is_message ? absl::StrCat(",\"logprobs\":[", logprobs_, "]") : ""));
  if (open_->kind != PieceKind::kToolCall) {
    AppendEvent("response.content_part.done",
                absl::StrCat(Place(), ",\"part\":", ItemPart(*open_, text_, logprobs_)));
  }
  const std::string item =
      absl::StrCat(ItemStart(*open_, head_), text_, ItemEnd(*open_, logprobs_, is_whole));
  AppendEvent("response.output_item.done",
              absl::StrCat(",\"output_index\":", open_->place, ",\"item\":", item));
  absl::StrAppend(&output_, output_.empty() ? "" : ",", item);
  open_.reset();
}

void ResponsesStreamWriter::AppendDelta(const Piece& piece) {
  std::string escaped, logprobs;
  AppendJsonEscaped(piece.text, escaped);
  text_ += escaped;
  const bool is_message = piece.kind == PieceKind::kContent;
  if (is_message && !piece.tokens.empty()) {
    logprobs = LogprobEntries(piece.tokens, head_.text->tokenizer());
    absl::StrAppend(&logprobs_, logprobs_.empty() ? "" : ",", logprobs);
  }
  AppendEvent(NamesOf(piece.kind).delta,
              absl::StrCat(Place(), ",\"delta\":\"", escaped, "\"",
                           is_message ? absl::StrCat(",\"logprobs\":[", logprobs, "]") : ""));
}

void ResponsesStreamWriter::Delta(const Piece& piece, Sink& sink) {
  positions_ += piece.positions;
  if (!open_ || !GoesOn(*open_, piece)) {
    CloseItem(/*is_whole=*/true);
    OpenItem(piece);
  }
  if (!piece.text.empty()) AppendDelta(piece);
  if (!frame_.empty()) AppendFrame(sink);
}

// An answer without any text is an empty message.
void ResponsesStreamWriter::End(const ChoiceEnd& end, Sink& sink) {
  end_ = end;
  if (items_ == 0) OpenItem(Piece{});
  CloseItem(end.kind == Ending::Kind::kStop);
  AppendFrame(sink);
}

// A frame's tokens count with its last byte: the end has some to say behind them.
void ResponsesStreamWriter::Close(const Usage& usage, Sink& sink) {
  const bool is_whole = end_.kind == Ending::Kind::kStop;
  AppendResponse(is_whole ? "response.completed" : "response.incomplete", StatusOf(end_), "null", &usage);
  positions_ += end_.positions;
  AppendFrame(sink);
}

void ResponsesStreamWriter::Fail(const http::ApiError& error, Sink& sink) {
  const std::string code = error.code.empty() ? "server_error" : error.code;
  const std::string said =
      absl::StrCat("\"code\":", JsonQuoted(code), ",\"message\":", JsonQuoted(error.message));
  if (begun_) {
    AppendResponse("response.failed", "failed", absl::StrCat("{", said, "}"), nullptr);
  } else {
    AppendEvent("error", absl::StrCat(",", said, ",\"param\":null"));
  }
  AppendFrame(sink);
}

}  // namespace quire::gateway
