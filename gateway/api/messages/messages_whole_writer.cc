#include "gateway/api/messages/messages_whole_writer.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/messages/messages_dialect.h"

namespace quire::gateway {
namespace {

uint32_t PositionsOf(std::span<const Piece> pieces) {
  uint32_t all = 0;
  for (const Piece& piece : pieces) all += piece.positions;
  return all;
}

}  // namespace

void MessagesWholeWriter::AppendText(std::span<const Piece> pieces, Sink& sink) const {
  const bool thinking = pieces.front().kind == PieceKind::kReasoning;
  if (thinking && form_.omits_thinking) {
    sink.Append(BlockStart(pieces.front(), head_), {0, PositionsOf(pieces)});
  } else {
    sink.Append(BlockStart(pieces.front(), head_));
    std::string escaped;
    for (const Piece& piece : pieces) {
      escaped.clear();
      AppendJsonEscaped(piece.text, escaped);
      sink.Append(escaped, {0, piece.positions});
    }
  }
  sink.Append(thinking ? absl::StrCat("\",\"signature\":\"", ThinkingSignature(head_), "\"}") : "\"}");
}

// Arguments that max_tokens cut are no JSON: a client that reads the body whole could read none of it.
void MessagesWholeWriter::AppendCall(std::span<const Piece> pieces, Sink& sink) const {
  std::string input;
  for (const Piece& piece : pieces) input += piece.text;
  const bool is_whole = nlohmann::json::parse(input, nullptr, /*allow_exceptions=*/false).is_object();
  sink.Append(BlockStart(pieces.front(), head_));
  uint32_t positions = 0;  // of pieces without text
  for (const Piece& piece : pieces) {
    positions += piece.positions;
    if (!is_whole || piece.text.empty()) continue;
    sink.Append(piece.text, {0, std::exchange(positions, 0)});
  }
  sink.Append(is_whole ? "}" : "{}}", {0, positions});
}

// The last tokens without text count with the usage: whoever has read that shall have been counted. So the
// body's last byte is a frame of its own.
void MessagesWholeWriter::Close(const Usage& usage, Sink& sink) {
  sink.Append(MessageHead(head_) + "\"content\":[");
  const std::span<const Piece> all(pieces_);
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    while (end < all.size() && SameBlock(all[begin], all[end])) ++end;
    if (begin > 0) sink.Append(",");
    const auto block = all.subspan(begin, end - begin);
    if (block.front().kind == PieceKind::kToolCall) {
      AppendCall(block, sink);
    } else {
      AppendText(block, sink);
    }
  }
  if (all.empty()) sink.Append(BlockStart(Piece{}, head_) + "\"}");
  sink.Append(absl::StrCat("],", StopJson(end_, form_), ",\"usage\":", MessagesUsage(usage, end_, form_)),
              {0, end_.positions});
  sink.Append("}");
}

void MessagesWholeWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(MessagesErrorBody(error, head_.id));
}

}  // namespace quire::gateway
