#include "gateway/api/chat/chat_json.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/absl_text.h"
#include "base/core/hash.h"
#include "base/core/json_text.h"
#include "gateway/text/detokenizer.h"

namespace quire::gateway {
namespace {

// "token":...,"logprob":...,"bytes":[...]
std::string Fields(const TokenChance& chance, const Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.BytesOf(chance.id);
  const auto number = [](std::string* out, char byte) {
    absl::StrAppend(out, static_cast<unsigned char>(byte));
  };
  return absl::StrCat("\"token\":", JsonQuoted(TokenAsText(chance.id, tokenizer)),
                      ",\"logprob\":", FloatJson(chance.logprob), ",\"bytes\":[",
                      absl::StrJoin(bytes, ",", number), "]");
}

}  // namespace

std::string ChatHead(const AnswerHead& head, std::string_view object) {
  return absl::StrCat("{\"id\":\"chatcmpl-", head.id.ToHex(), "\",\"object\":\"", Absl(object),
                      "\",\"created\":", head.created_unix_s, ",\"model\":", JsonQuoted(head.model), ",");
}

std::string UsageJson(const Usage& usage) {
  const TokenCounts& counts = usage.counts;
  return absl::StrCat("{\"prompt_tokens\":", counts.prompt, ",\"completion_tokens\":", counts.completion,
                      ",\"total_tokens\":", counts.prompt + counts.completion,
                      ",\"estimated_cost\":", CostUsd(usage.cost_nano_usd),
                      ",\"prompt_tokens_details\":{\"cached_tokens\":", counts.cached,
                      "},\"completion_tokens_details\":{\"reasoning_tokens\":", usage.reasoning_tokens, "}}");
}

const char* FieldOf(PieceKind kind) {
  return kind == PieceKind::kReasoning ? "reasoning_content" : "content";
}

std::string FinishJson(const ChoiceEnd& end) {
  return absl::StrCat("\"finish_reason\":\"", FinishReasonOf(end), "\"",
                      end.loop ? ",\"finish_details\":{\"type\":\"loop\"}" : "");
}

std::string CostUsd(int64_t nano_usd) {
  char digits[32];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, static_cast<double>(nano_usd) / 1e9);
  return {digits, end};
}

std::string FloatJson(float value) {
  char digits[32];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, end};
}

const char* FinishReasonOf(Ending::Kind kind) {
  return NameOf(kind == Ending::Kind::kBudget ? Ending::Kind::kLength : kind);
}

const char* FinishReasonOf(const ChoiceEnd& end) {
  return end.called_tools ? "tool_calls" : FinishReasonOf(end.kind);
}

std::string CallIdOf(const RequestId& id, uint32_t choice, uint32_t index) {
  constexpr size_t kDigits = 24;
  const Digest digest = Sha256(absl::StrCat(id.ToHex(), " call ", choice, " ", index));
  return "call_" + ToHex(digest).substr(0, kDigits);
}

std::string CallStart(const RequestId& id, const Piece& piece) {
  return absl::StrCat("\"id\":\"", CallIdOf(id, piece.choice, piece.call.index),
                      "\",\"type\":\"function\",\"function\":{\"name\":", JsonQuoted(piece.call.name),
                      ",\"arguments\":\"");
}

std::string TokenAsText(TokenId id, const Tokenizer& tokenizer) {
  Detokenizer text(tokenizer, /*skip_special_tokens=*/false);
  std::string token = text.Push(id);
  return token + text.Flush();
}

std::string LogprobEntries(const std::vector<SampledToken>& tokens, const Tokenizer& tokenizer) {
  const auto chance = [&](std::string* out, const TokenChance& top) {
    absl::StrAppend(out, "{", Fields(top, tokenizer), "}");
  };
  return absl::StrJoin(tokens, ",", [&](std::string* out, const SampledToken& token) {
    absl::StrAppend(out, "{", Fields(token.token, tokenizer), ",\"top_logprobs\":[",
                    absl::StrJoin(token.top, ",", chance), "]}");
  });
}

}  // namespace quire::gateway
