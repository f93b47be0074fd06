#include "gateway/api/completions/completion_json.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {
namespace {

bool Continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

void AppendListed(std::string_view entry, std::string& list) {
  if (!list.empty()) list += ',';
  list += entry;
}

// {"a":-0.1,"b":-2}: the likeliest, and the sampled one where it is none of them.
std::string TopOf(const SampledToken& sampled, const Tokenizer& tokenizer, bool as_ids) {
  if (sampled.top.empty()) return "null";
  std::vector<TokenChance> chances = sampled.top;
  chances.push_back(sampled.token);
  std::set<std::string> names;
  std::string entries;
  for (const TokenChance& chance : chances) {
    const std::string name = TokenName(chance.id, tokenizer, as_ids);
    if (!names.insert(name).second) continue;  // a key stands once
    AppendListed(absl::StrCat(JsonQuoted(name), ":", FloatJson(chance.logprob)), entries);
  }
  return absl::StrCat("{", entries, "}");
}

}  // namespace

std::string CompletionHead(const AnswerHead& head) {
  return absl::StrCat("{\"id\":\"cmpl-", head.id.ToHex(),
                      "\",\"object\":\"text_completion\",\"created\":", head.created_unix_s,
                      ",\"model\":", JsonQuoted(head.model), ",");
}

std::string TokenName(TokenId id, const Tokenizer& tokenizer, bool as_id) {
  if (as_id) return absl::StrCat("token_id:", id);
  const std::string bytes(tokenizer.BytesOf(id));
  if (IsValidUtf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char byte : bytes) absl::StrAppendFormat(&name, "\\x%02x", static_cast<unsigned char>(byte));
  return name;
}

size_t CharactersIn(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), Continues));
}

// A token that goes on in the midst of a character stands where that does; one that a stop string cut off, at
// the text's end.
void TokenLists::Add(const Piece& piece, size_t offset, const Tokenizer& tokenizer, bool as_ids) {
  const size_t end = offset + CharactersIn(piece.text);
  size_t begun = offset;
  for (const SampledToken& sampled : piece.tokens) {
    const std::string_view bytes = tokenizer.BytesOf(sampled.token.id);
    const bool in_midst = begun > offset && !bytes.empty() && Continues(bytes.front());
    has_tops_ = has_tops_ || !sampled.top.empty();
    Append(FloatJson(sampled.token.logprob), TopOf(sampled, tokenizer, as_ids),
           TokenName(sampled.token.id, tokenizer, as_ids), std::min(begun - (in_midst ? 1 : 0), end));
    begun += CharactersIn(bytes);
  }
}

void TokenLists::Add(const PromptScores& prompt, size_t position, size_t offset, const Tokenizer& tokenizer,
                     bool as_ids) {
  has_tops_ = has_tops_ || prompt.top_each() > 0;
  const std::string name = TokenName(prompt.ids()[position], tokenizer, as_ids);
  if (position == 0) return Append("null", "null", name, offset);
  const SampledToken token = prompt.At(position);
  Append(FloatJson(token.token.logprob), TopOf(token, tokenizer, as_ids), name, offset);
}

void TokenLists::Append(std::string_view logprob, std::string_view top, const std::string& name,
                        size_t offset) {
  AppendListed(absl::StrCat(offset), offsets_);
  AppendListed(JsonQuoted(name), tokens_);
  AppendListed(logprob, logprobs_);
  AppendListed(top, tops_);
}

// Nobody asked for any of the likeliest: there is no list of them.
std::string TokenLists::Json() const {
  const bool no_tops = !has_tops_ && !tops_.empty();
  return absl::StrCat("{\"tokens\":[", tokens_, "],\"token_logprobs\":[", logprobs_,
                      "],\"top_logprobs\":", no_tops ? "null" : absl::StrCat("[", tops_, "]"),
                      ",\"text_offset\":[", offsets_, "]}");
}

std::string EchoedPrompt::Take(size_t tokens, TokenLists& lists) {
  const std::vector<TokenId>& ids = echo_.scores->ids();
  std::string text;
  for (; tokens > 0 && !done(); --tokens, ++next_) {
    lists.Add(*echo_.scores, next_, characters_, tokenizer_, as_ids_);
    if (next_ < echo_.silent) continue;
    const std::string more = detokenizer_.Push(ids[next_]);
    characters_ += CharactersIn(more);
    text += more;
  }
  if (!done()) return text;
  const std::string rest = detokenizer_.Flush();
  characters_ += CharactersIn(rest);
  return text + rest;
}

}  // namespace quire::gateway
