#include "gateway/api/chat/chat_stream_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

constexpr std::string_view kDone = "data: [DONE]\n\n";

}  // namespace

ChatStreamWriter::ChatStreamWriter(const AnswerHead& head, const ChatForm& form)
    : form_(form),
      id_(head.id),
      text_(head.text),
      head_("data: " + ChatHead(head, "chat.completion.chunk")),
      chunk_end_(form.usage_frames == UsageFrames::kLastChunk ? ",\"usage\":null}\n\n" : "}\n\n") {
  for (uint32_t i = 0; i < head.choices; ++i) {
    choices_.push_back({.start = absl::StrCat(head_, "\"choices\":[{\"index\":", i, ",\"delta\":{")});
  }
}

void ChatStreamWriter::BeginChoice(Choice& choice, Sink& sink) const {
  if (std::exchange(choice.begun, true)) return;
  sink.Append(absl::StrCat(choice.start, "\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]",
                           chunk_end_));
}

Positions ChatStreamWriter::Counted(uint32_t choice, uint32_t positions) {
  return {choice, positions + std::exchange(choices_[choice].excluded, 0)};
}

void ChatStreamWriter::AppendPart(const Piece& piece) {
  if (piece.kind != PieceKind::kToolCall) {
    absl::StrAppend(&frame_, "\"", FieldOf(piece.kind), "\":\"");
    AppendJsonEscaped(piece.text, frame_);
    frame_ += "\"";
    return;
  }
  const bool first = !piece.call.name.empty();
  absl::StrAppend(&frame_, "\"tool_calls\":[{\"index\":", piece.call.index, ",",
                  first ? CallStart(id_, piece) : "\"function\":{\"arguments\":\"");
  AppendJsonEscaped(piece.text, frame_);
  absl::StrAppend(&frame_, Absl(kCallEnd), "]");
}

void ChatStreamWriter::Delta(const Piece& piece, Sink& sink) {
  Choice& choice = choices_[piece.choice];
  BeginChoice(choice, sink);
  if (form_.exclude_reasoning && piece.kind == PieceKind::kReasoning) {
    choice.excluded += piece.positions;
    return;
  }
  frame_.assign(choice.start);
  AppendPart(piece);
  frame_ += "}";
  if (!piece.tokens.empty()) {
    absl::StrAppend(&frame_, ",\"logprobs\":{\"content\":[", LogprobEntries(piece.tokens, text_->tokenizer()),
                    "],\"refusal\":null}");
  }
  frame_ += ",\"finish_reason\":null}]";
  frame_ += chunk_end_;
  sink.Append(frame_, Counted(piece.choice, piece.positions));
}

std::string ChatStreamWriter::Finish(const ChoiceEnd& end) const {
  return absl::StrCat(choices_[end.choice].start, "},", FinishJson(end), "}]");
}

void ChatStreamWriter::End(const ChoiceEnd& end, Sink& sink) {
  BeginChoice(choices_[end.choice], sink);
  if (++ended_ == choices_.size()) {
    last_ = end;
  } else {
    sink.Append(Finish(end) + chunk_end_, Counted(end.choice, end.positions));
  }
}

// A frame's tokens count with its last byte, and who has read the usage shall have been counted: [DONE] is a
// frame of its own.
void ChatStreamWriter::Close(const Usage& usage, Sink& sink) {
  std::string frames = Finish(*last_);
  if (form_.usage_frames == UsageFrames::kOnFinish) {
    absl::StrAppend(&frames, ",\"usage\":", UsageJson(usage), "}\n\n");
  } else {
    frames += chunk_end_;
  }
  if (form_.usage_frames == UsageFrames::kLastChunk) {
    absl::StrAppend(&frames, head_, "\"choices\":[],\"usage\":", UsageJson(usage), "}\n\n");
  }
  sink.Append(frames, Counted(last_->choice, last_->positions));
  sink.Append(kDone);
}

void ChatStreamWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(absl::StrCat("data: ", http::ErrorBody(error), "\n\n"));
  sink.Append(kDone);
}

}  // namespace quire::gateway
