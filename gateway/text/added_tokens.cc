#include "gateway/text/added_tokens.h"

#include <algorithm>

#include "base/core/status.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {
namespace {

bool AllFromTemplate(const OriginText& text, size_t start, size_t end) {
  for (size_t i = start; i < end; ++i) {
    if (!text.FromTemplate(i)) return false;
  }
  return true;
}

bool StandsAlone(const std::string& text, size_t start, size_t end) {
  return (start == 0 || !IsWord(CharacterBefore(text, start).code_point)) &&
         (end == text.size() || !IsWord(CharacterAt(text, end).code_point));
}

// Where the whitespace that ends at `start` begins.
size_t SkipSpaceBack(const std::string& text, size_t start, size_t floor) {
  while (start > floor) {
    const Character before = CharacterBefore(text, start);
    if (!IsWhitespace(before.code_point)) break;
    start -= before.bytes;
  }
  return start;
}

size_t SkipSpace(const std::string& text, size_t end) {
  while (end < text.size()) {
    const Character character = CharacterAt(text, end);
    if (!IsWhitespace(character.code_point)) break;
    end += character.bytes;
  }
  return end;
}

}  // namespace

void AddedTokenFinder::Add(AddedToken token) {
  std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(token.content[0])];
  const auto place =
      std::lower_bound(lengths.begin(), lengths.end(), token.content.size(), std::greater<size_t>());
  if (place == lengths.end() || *place != token.content.size()) lengths.insert(place, token.content.size());
  std::string content = token.content;
  by_content_.try_emplace(std::move(content), std::move(token));
}

const AddedToken* AddedTokenFinder::Match(const OriginText& text, size_t at) const {
  for (const size_t length : lengths_[static_cast<unsigned char>(text.text()[at])]) {
    if (length > text.size() - at || !AllFromTemplate(text, at, at + length)) continue;
    const auto found = by_content_.find(absl::string_view(text.text().data() + at, length));
    if (found != by_content_.end()) return &found->second;
  }
  return nullptr;
}

absl::Status AddedTokenFinder::Split(const OriginText& text, const OnText& on_text,
                                     const OnToken& on_token) const {
  const std::string& bytes = text.text();
  size_t done = 0;
  for (size_t at = 0; at < bytes.size();) {
    const AddedToken* token = text.FromTemplate(at) ? Match(text, at) : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t start = at, end = at + token->content.size();
    at = end;
    if (token->single_word && !StandsAlone(bytes, start, end)) continue;
    if (token->lstrip) start = SkipSpaceBack(bytes, start, done);
    if (token->rstrip) at = end = SkipSpace(bytes, end);
    if (start > done) QUIRE_RETURN_IF_ERROR(on_text(text.Substr(done, start - done)));
    on_token(token->id);
    done = end;
  }
  if (done < bytes.size()) return on_text(text.Substr(done));
  return absl::OkStatus();
}

}  // namespace quire::gateway
