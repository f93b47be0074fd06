#include "gateway/api/completions/completion_whole_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {

void CompletionWholeWriter::Scores(const ScoredPrompt& prompt) {
  form_.EchoOf(prompt.choice, head_.choices)->scores = prompt.scores;
}

bool CompletionWholeWriter::SayEcho(uint32_t index, uint32_t /*positions*/, Sink& /*sink*/) {
  Choice& choice = choices_[index];
  const CompletionForm::Echo* echo = form_.EchoOf(index, head_.choices);
  if (echo == nullptr || echo->scores == nullptr || (choice.echoed && choice.echoed->done())) return false;
  if (!choice.echoed) choice.echoed.emplace(*echo, head_.text->tokenizer(), form_.tokens_as_ids);
  choice.echo += choice.echoed->Take(kScoredTokensAtOnce, choice.lists);
  choice.characters = choice.echoed->characters();
  return !choice.echoed->done();
}

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

// As a stream's: where the prompt was scored, the first positions count with its echo, which comes before the
// scores.
void CompletionWholeWriter::AppendChoice(Choice& choice, Sink& sink) {
  const uint32_t index = choice.end.choice;
  const CompletionForm::Echo* echo = form_.EchoOf(index, head_.choices);
  uint32_t first = 0;
  if (echo != nullptr && echo->scores != nullptr) {
    first = std::exchange(choice.parts.empty() ? choice.end.positions : choice.parts.front().positions, 0);
  }
  std::string text = absl::StrCat(index > 0 ? "," : "", "{\"index\":", index, ",\"text\":\"");
  if (echo != nullptr) AppendJsonEscaped(echo->scores != nullptr ? choice.echo : echo->text, text);
  sink.Append(text, {index, first});
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
  for (Choice& choice : choices_) AppendChoice(choice, sink);
  const ChoiceEnd& last = choices_.back().end;
  sink.Append(absl::StrCat("],\"usage\":", UsageJson(usage)), {last.choice, last.positions});
  sink.Append("}");
}

}  // namespace quire::gateway
