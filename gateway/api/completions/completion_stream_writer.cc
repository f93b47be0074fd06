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

bool CompletionStreamWriter::SayEcho(uint32_t index, uint32_t positions, Sink& sink) {
  Choice& choice = choices_[index];
  const CompletionForm::Echo* echo = form_.EchoOf(index, static_cast<uint32_t>(choices_.size()));
  if (choice.begun || echo == nullptr) return false;
  if (echo->scores == nullptr) {
    choice.begun = true;
    if (!echo->text.empty()) sink.Append(Chunk(index, echo->text, "null", kGoesOn) + chunk_end_);
    return false;
  }
  if (!choice.echoed) choice.echoed.emplace(*echo, text_->tokenizer(), form_.tokens_as_ids);
  TokenLists lists;
  const std::string text = choice.echoed->Take(kScoredTokensAtOnce, lists);
  sink.Append(Chunk(index, text, lists.Json(), kGoesOn) + chunk_end_, {index, positions - choice.said});
  choice.said = positions;
  choice.characters = choice.echoed->characters();
  choice.begun = choice.echoed->done();
  return !choice.begun;
}

void CompletionStreamWriter::Delta(const Piece& piece, Sink& sink) {
  Choice& choice = choices_[piece.choice];
  const uint32_t positions = piece.positions - std::exchange(choice.said, 0);
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
  const uint32_t positions = end.positions - std::exchange(choices_[end.choice].said, 0);
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
