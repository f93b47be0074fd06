#include "gateway/api/messages/messages_stream_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/messages/messages_dialect.h"

namespace quire::gateway {
namespace {

// An event's name is its data's type. What follows the type is `fields`, with a comma before each.
void AppendEvent(const char* type, const std::string& fields, std::string& out) {
  absl::StrAppend(&out, "event: ", type, "\ndata: {\"type\":\"", type, "\"", fields, "}\n\n");
}

// The rest of a block that has no text yet.
const char* EmptyRest(PieceKind kind) {
  if (kind == PieceKind::kToolCall) return "{}}";
  return kind == PieceKind::kReasoning ? R"(","signature":""})" : R"("})";
}

// "type":...,"text":" of a delta in that block.
const char* DeltaFields(PieceKind kind) {
  if (kind == PieceKind::kToolCall) return R"("type":"input_json_delta","partial_json":")";
  return kind == PieceKind::kReasoning ? R"("type":"thinking_delta","thinking":")"
                                       : R"("type":"text_delta","text":")";
}

}  // namespace

void MessagesStreamWriter::Begin(const Usage& usage, Sink& sink) {
  frame_.clear();
  AppendEvent("message_start",
              absl::StrCat(",\"message\":", MessageHead(head_),
                           R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":)",
                           MessagesPromptUsage(usage, form_), "}"),
              frame_);
  AppendFrame(sink);
}

void MessagesStreamWriter::AppendFrame(Sink& sink) {
  sink.Append(frame_, {0, std::exchange(positions_, 0)});
  frame_.clear();
}

void MessagesStreamWriter::OpenBlock(const Piece& piece) {
  const std::string index = absl::StrCat(",\"index\":", blocks_++);
  AppendEvent("content_block_start",
              absl::StrCat(index, ",\"content_block\":", BlockStart(piece, head_), EmptyRest(piece.kind)),
              frame_);
  open_.emplace();
  open_->kind = piece.kind;
  open_->call = piece.call;
  delta_start_ = absl::StrCat("event: content_block_delta\ndata: {\"type\":\"content_block_delta\"", index,
                              ",\"delta\":{", DeltaFields(piece.kind));
}

void MessagesStreamWriter::CloseBlock() {
  if (!open_) return;
  const std::string index = absl::StrCat(",\"index\":", blocks_ - 1);
  if (open_->kind == PieceKind::kReasoning) {
    AppendEvent("content_block_delta",
                absl::StrCat(index, R"(,"delta":{"type":"signature_delta","signature":")",
                             ThinkingSignature(head_), "\"}"),
                frame_);
  }
  AppendEvent("content_block_stop", index, frame_);
  open_.reset();
}

void MessagesStreamWriter::Delta(const Piece& piece, Sink& sink) {
  positions_ += piece.positions;
  if (!open_ || !SameBlock(*open_, piece)) {
    CloseBlock();
    OpenBlock(piece);
  }
  const bool omitted = form_.omits_thinking && piece.kind == PieceKind::kReasoning;
  if (!omitted && !piece.text.empty()) {
    frame_ += delta_start_;
    AppendJsonEscaped(piece.text, frame_);
    frame_ += "\"}}\n\n";
  }
  if (!frame_.empty()) AppendFrame(sink);
}

// An answer without any text has a block of none.
void MessagesStreamWriter::End(const ChoiceEnd& end, Sink& sink) {
  if (blocks_ == 0) OpenBlock(Piece{});
  CloseBlock();
  AppendFrame(sink);
  end_ = end;
}

void MessagesStreamWriter::Close(const Usage& usage, Sink& sink) {
  AppendEvent(
      "message_delta",
      absl::StrCat(",\"delta\":{", StopJson(end_, form_), "},\"usage\":", MessagesUsage(usage, end_, form_)),
      frame_);
  positions_ += end_.positions;
  AppendFrame(sink);
  AppendEvent("message_stop", "", frame_);
  AppendFrame(sink);
}

void MessagesStreamWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(absl::StrCat("event: error\ndata: ", MessagesErrorBody(error, head_.id), "\n\n"));
}

}  // namespace quire::gateway
