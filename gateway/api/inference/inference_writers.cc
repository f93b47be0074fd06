#include "gateway/api/inference/inference_writers.h"

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::steady_clock;

std::string StatusJson(std::string_view status, const Usage& usage, int64_t runtime_ms) {
  return absl::StrCat("{\"status\":\"", Absl(status), "\",\"runtime_ms\":", runtime_ms,
                      ",\"cost\":", CostUsd(usage.cost_nano_usd),
                      ",\"tokens_generated\":", usage.counts.completion,
                      ",\"tokens_input\":", usage.counts.prompt, "}");
}

// An event; `id` and `logprob` are JSON.
std::string TokenEvent(std::string_view id, std::string_view text, std::string_view logprob, bool special,
                       std::string_view rest) {
  return absl::StrCat("data: {\"token\":{\"id\":", Absl(id), ",\"text\":", JsonQuoted(text),
                      ",\"logprob\":", Absl(logprob), ",\"special\":", special ? "true" : "false", "},",
                      Absl(rest), "}\n\n");
}

constexpr std::string_view kNotTheLast = "\"generated_text\":null,\"details\":null";

}  // namespace

std::string InferenceJobJson(const RequestId& id, std::string_view status, int64_t runtime_ms,
                             const http::ApiError* error) {
  const std::string head = absl::StrCat("{\"request_id\":\"", id.ToHex(),
                                        "\",\"results\":[],\"num_tokens\":0,\"num_input_tokens\":0,",
                                        "\"inference_status\":", StatusJson(status, Usage(), runtime_ms));
  if (error == nullptr) return head + "}";
  return absl::StrCat(head, ",", http::ErrorBody(*error).substr(1));  // without its brace
}

// ---- whole ----

void InferenceWholeWriter::Delta(const Piece& piece, Sink& /*sink*/) {
  choices_[piece.choice].parts.push_back({piece.text, piece.positions});
}

void InferenceWholeWriter::End(const ChoiceEnd& end, Sink& /*sink*/) { choices_[end.choice].end = end; }

void InferenceWholeWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(http::ErrorBody(error));
}

// As ChatWholeWriter's: the last choice's tokens without text count with the usage, and the body's last byte
// is a frame of its own.
void InferenceWholeWriter::Close(const Usage& usage, Sink& sink) {
  sink.Append(absl::StrCat("{\"request_id\":\"", head_.id.ToHex(), "\",\"results\":["));
  std::string text;
  for (const Choice& choice : choices_) {
    const uint32_t index = choice.end.choice;
    sink.Append(absl::StrCat(index > 0 ? "," : "", "{\"generated_text\":\""));
    for (const Part& part : choice.parts) {
      text.clear();
      AppendJsonEscaped(part.text, text);
      sink.Append(text, {index, part.positions});
    }
    const bool is_last = index + 1 == choices_.size();
    sink.Append("\"}", {index, is_last ? 0 : choice.end.positions});
  }
  const ChoiceEnd& last = choices_.back().end;
  const auto runtime = duration_cast<milliseconds>(steady_clock::now() - begun_);
  sink.Append(absl::StrCat("],\"num_tokens\":", usage.counts.completion,
                           ",\"num_input_tokens\":", usage.counts.prompt,
                           ",\"inference_status\":", StatusJson("succeeded", usage, runtime.count())),
              {last.choice, last.positions});
  sink.Append("}");
}

// ---- streamed ----

// Text that several tokens make comes with the last of them.
void InferenceStreamWriter::Delta(const Piece& piece, Sink& sink) {
  text_ += piece.text;
  for (size_t i = 0; i + 1 < piece.tokens.size(); ++i) {
    const TokenChance& token = piece.tokens[i].token;
    sink.Append(TokenEvent(absl::StrCat(token.id), "", FloatJson(token.logprob), false, kNotTheLast));
  }
  const bool named = !piece.tokens.empty();
  const TokenChance last = named ? piece.tokens.back().token : TokenChance();
  sink.Append(TokenEvent(named ? absl::StrCat(last.id) : "null", piece.text, FloatJson(last.logprob), false,
                         kNotTheLast),
              {piece.choice, piece.positions});
}

void InferenceStreamWriter::End(const ChoiceEnd& end, Sink& /*sink*/) { end_ = end; }

// The line break behind it is a frame of its own: who has read the usage shall have been counted.
void InferenceStreamWriter::Close(const Usage& usage, Sink& sink) {
  const std::string rest = absl::StrCat("\"generated_text\":", JsonQuoted(text_), ",\"details\":{",
                                        FinishJson(end_), ",\"generated_tokens\":", usage.counts.completion,
                                        ",\"input_tokens\":", usage.counts.prompt,
                                        ",\"cost\":", CostUsd(usage.cost_nano_usd), "}");
  std::string event = TokenEvent("null", "", "0", true, rest);
  event.pop_back();
  sink.Append(event, {end_.choice, end_.positions});
  sink.Append("\n");
}

void InferenceStreamWriter::Fail(const http::ApiError& error, Sink& sink) {
  sink.Append(absl::StrCat("data: ", http::ErrorBody(error), "\n\n"));
}

}  // namespace quire::gateway
