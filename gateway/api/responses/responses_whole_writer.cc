#include "gateway/api/responses/responses_whole_writer.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {

void ResponsesWholeWriter::AppendItem(const ResponsesItem& item, std::span<const Piece> pieces, bool is_whole,
                                      Sink& sink) const {
  sink.Append(ItemStart(item, head_));
  std::string escaped, logprobs;
  uint32_t positions = 0;  // of pieces without text
  for (const Piece& piece : pieces) {
    positions += piece.positions;
    if (item.kind == PieceKind::kContent && !piece.tokens.empty()) {
      absl::StrAppend(&logprobs, logprobs.empty() ? "" : ",",
                      LogprobEntries(piece.tokens, head_.text->tokenizer()));
    }
    if (piece.text.empty()) continue;
    escaped.clear();
    AppendJsonEscaped(piece.text, escaped);
    sink.Append(escaped, {0, std::exchange(positions, 0)});
  }
  sink.Append(ItemEnd(item, logprobs, is_whole), {0, positions});
}

// The last tokens without text count with the usage: whoever has read that shall have been counted. So the
// body's last byte is a frame of its own.
void ResponsesWholeWriter::Close(const Usage& usage, Sink& sink) {
  sink.Append(ResponseStart(head_, StatusOf(end_), "null", end_, echo_));
  if (pieces_.empty()) pieces_.emplace_back();
  const std::span<const Piece> all(pieces_);
  const bool is_whole = end_.kind == Ending::Kind::kStop;
  uint32_t place = 0;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    const ResponsesItem item = ItemOf(all[begin], place++, head_);
    while (end < all.size() && GoesOn(item, all[end])) ++end;
    if (begin > 0) sink.Append(",");
    AppendItem(item, all.subspan(begin, end - begin), is_whole || end < all.size(), sink);
  }
  std::string last = ResponseEnd(&usage);
  last.pop_back();
  sink.Append(last, {0, end_.positions});
  sink.Append("}");
}

void ResponsesWholeWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(http::ErrorBody(error));
}

}  // namespace quire::gateway
