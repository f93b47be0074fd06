#include "gateway/api/completions/completion_stream_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

constexpr std::string_view kLastEvent = "data: [DONE]\n\n";
constexpr std::string_view kGoesOn = "\"finish_reason\":null";
constexpr size_t kScoredTokensOfChunk = 512;

}  // namespace

CompletionStreamWriter::CompletionStreamWriter(const AnswerHead& head, CompletionForm form)
    : form_(std::move(form)),
      text_(head.text),
      head_("data: " + CompletionHead(head)),
      chunk_end_(form_.usage_frames == UsageFrames::kLastChunk ? ",\"usage\":null}\n\n" : "}\n\n"),
      choices_(head.choices) {}

std::string CompletionStreamWriter::Chunk(uint32_t choice, std::string_view text, std::string_view logprobs,
                                          std::string_view finish) const {
  std::string chunk = absl::StrCat(head_, "\"choices\":[{\"index\":", choice, ",\"text\":\"");
  AppendJsonEscaped(text, chunk);
  absl::StrAppend(&chunk, "\",\"logprobs\":", Absl(logprobs), ",", Absl(finish), "}]");
  return chunk;
}

void CompletionStreamWriter::Scores(const ScoredPrompt& prompt) {
  form_.EchoOf(prompt.choice, static_cast<uint32_t>(choices_.size()))->scores = prompt.scores;
}

uint32_t CompletionStreamWriter::BeginChoice(uint32_t index, uint32_t positions, Sink& sink) {
  const CompletionForm::Echo* echo = form_.EchoOf(index, static_cast<uint32_t>(choices_.size()));
  if (std::exchange(choices_[index].begun, true) || echo == nullptr) return positions;
  if (echo->scores != nullptr) {
    SayScores(index, *echo, positions, sink);
    return 0;
  }
  if (!echo->text.empty()) sink.Append(Chunk(index, echo->text, "null", kGoesOn) + chunk_end_);
  return positions;
}

void CompletionStreamWriter::SayScores(uint32_t index, const CompletionForm::Echo& echo, uint32_t positions,
                                       Sink& sink) {
  EchoedPrompt prompt(echo, text_->tokenizer(), form_.tokens_as_ids);
  while (!prompt.done()) {
    TokenLists lists;
    const std::string text = prompt.Take(kScoredTokensOfChunk, lists);
    sink.Append(Chunk(index, text, lists.Json(), kGoesOn) + chunk_end_, {index, std::exchange(positions, 0)});
  }
  choices_[index].characters = prompt.characters();
}

void CompletionStreamWriter::Delta(const Piece& piece, Sink& sink) {
  const uint32_t positions = BeginChoice(piece.choice, piece.positions, sink);
  Choice& choice = choices_[piece.choice];
  std::string logprobs = "null";
  if (!piece.tokens.empty()) {
    TokenLists lists;
    lists.Add(piece, choice.characters, text_->tokenizer(), form_.tokens_as_ids);
    logprobs = lists.Json();
  }
  choice.characters += CharactersIn(piece.text);
  sink.Append(Chunk(piece.choice, piece.text, logprobs, kGoesOn) + chunk_end_, {piece.choice, positions});
}

void CompletionStreamWriter::End(const ChoiceEnd& end, Sink& sink) {
  const uint32_t positions = BeginChoice(end.choice, end.positions, sink);
  if (++ended_ == choices_.size()) {
    last_ = end;
    last_->positions = positions;
  } else {
    sink.Append(Chunk(end.choice, "", "null", FinishJson(end)) + chunk_end_, {end.choice, positions});
  }
}

// As ChatStreamWriter's: who has read the usage shall have been counted.
void CompletionStreamWriter::Close(const Usage& usage, Sink& sink) {
  std::string frames = Chunk(last_->choice, "", "null", FinishJson(*last_));
  if (form_.usage_frames == UsageFrames::kOnFinish) {
    absl::StrAppend(&frames, ",\"usage\":", UsageJson(usage), "}\n\n");
  } else {
    frames += chunk_end_;
  }
  if (form_.usage_frames == UsageFrames::kLastChunk) {
    absl::StrAppend(&frames, head_, "\"choices\":[],\"usage\":", UsageJson(usage), "}\n\n");
  }
  sink.Append(frames, {last_->choice, last_->positions});
  sink.Append(kLastEvent);
}

void CompletionStreamWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(absl::StrCat("data: ", http::ErrorBody(error), "\n\n"));
  sink.Append(kLastEvent);
}

}  // namespace quire::gateway
