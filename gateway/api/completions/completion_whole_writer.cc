#include "gateway/api/completions/completion_whole_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {

void CompletionWholeWriter::Delta(const Piece& piece, Sink& /*sink*/) {
  Choice& choice = choices_[piece.choice];
  if (head_.logprobs) {
    choice.lists.Add(piece, choice.characters, head_.text->tokenizer(), form_.tokens_as_ids);
  }
  choice.characters += CharactersIn(piece.text);
  choice.parts.push_back({piece.text, piece.positions});
}

void CompletionWholeWriter::End(const ChoiceEnd& end, Sink& /*sink*/) { choices_[end.choice].end = end; }

void CompletionWholeWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(http::ErrorBody(error));
}

void CompletionWholeWriter::AppendChoice(const Choice& choice, Sink& sink) const {
  const uint32_t index = choice.end.choice;
  std::string text = absl::StrCat(index > 0 ? "," : "", "{\"index\":", index, ",\"text\":\"");
  AppendJsonEscaped(form_.EchoOf(index, head_.choices), text);
  sink.Append(text);
  for (const Part& part : choice.parts) {
    text.clear();
    AppendJsonEscaped(part.text, text);
    sink.Append(text, {index, part.positions});
  }
  sink.Append(absl::StrCat("\",\"logprobs\":", head_.logprobs ? choice.lists.Json() : "null"));
  const bool is_last = index + 1 == choices_.size();
  sink.Append(absl::StrCat(",", FinishJson(choice.end), "}"), {index, is_last ? 0 : choice.end.positions});
}

// As ChatWholeWriter's: the last choice's tokens without text count with the usage, and the body's last byte
// is a frame of its own.
void CompletionWholeWriter::Close(const Usage& usage, Sink& sink) {
  sink.Append(CompletionHead(head_) + "\"choices\":[");
  for (const Choice& choice : choices_) AppendChoice(choice, sink);
  const ChoiceEnd& last = choices_.back().end;
  sink.Append(absl::StrCat("],\"usage\":", UsageJson(usage)), {last.choice, last.positions});
  sink.Append("}");
}

}  // namespace quire::gateway
