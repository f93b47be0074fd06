#include "gateway/text/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>

#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

// str.isspace(): Unicode's white space and the four separators of ASCII.
bool IsSpace(int32_t code_point) {
  return IsWhitespace(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

bool IsStripped(std::string_view text, const Character& character, size_t at,
                std::optional<std::string_view> characters) {
  if (!characters) return IsSpace(character.code_point);
  return characters->find(text.substr(at, character.bytes)) != std::string_view::npos;
}

std::vector<OriginText> SplitAtSpace(const OriginText& text, int64_t limit) {
  std::vector<OriginText> parts;
  size_t at = 0;
  while (at < text.size()) {
    Character character = CharacterAt(text.text(), at);
    if (IsSpace(character.code_point)) {
      at += character.bytes;
      continue;
    }
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Strip(text.Substr(at), Side::kRight, std::nullopt));
      break;
    }
    const size_t start = at;
    while (at < text.size() && !IsSpace((character = CharacterAt(text.text(), at)).code_point)) {
      at += character.bytes;
    }
    parts.push_back(text.Substr(start, at - start));
  }
  return parts;
}

}  // namespace

int64_t CharCount(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::vector<OriginText> Characters(const OriginText& text) {
  std::vector<OriginText> characters;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharacterAt(text.text(), at).bytes;
    characters.push_back(text.Substr(at, bytes));
    at += bytes;
  }
  return characters;
}

SliceRange ResolveSlice(int64_t count, std::optional<int64_t> start, std::optional<int64_t> stop,
                        int64_t step) {
  const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? count : count - 1;
  const auto place = [&](int64_t position) {
    return std::clamp(position < 0 ? position + count : position, lowest, highest);
  };
  const int64_t from = start ? place(*start) : (step > 0 ? lowest : highest);
  const int64_t to = stop ? place(*stop) : (step > 0 ? highest : lowest);
  // A step beyond the count takes one position at most; clamping it keeps a later sum from overflowing.
  return {from, to, std::clamp(step, -count - 1, count + 1)};
}

OriginText SliceText(const OriginText& text, std::optional<int64_t> start, std::optional<int64_t> stop,
                     int64_t step) {
  std::vector<size_t> offsets;  // where each character starts, and the end
  for (size_t at = 0; at < text.size(); at += CharacterAt(text.text(), at).bytes) offsets.push_back(at);
  offsets.push_back(text.size());
  const auto range = ResolveSlice(static_cast<int64_t>(offsets.size()) - 1, start, stop, step);
  if (range.step == 1 && range.Before(range.from)) {
    return text.Substr(offsets[range.from], offsets[range.to] - offsets[range.from]);
  }
  OriginText out;
  for (int64_t at = range.from; range.Before(at); at += range.step) {
    out.Append(text.Substr(offsets[at], offsets[at + 1] - offsets[at]));
  }
  return out;
}

OriginText Strip(const OriginText& text, Side side, std::optional<std::string_view> characters) {
  const std::string& bytes = text.text();
  size_t start = 0, end = bytes.size();
  while (side != Side::kRight && start < end) {
    const Character character = CharacterAt(bytes, start);
    if (!IsStripped(bytes, character, start, characters)) break;
    start += character.bytes;
  }
  while (side != Side::kLeft && end > start) {
    const Character character = CharacterBefore(bytes, end);
    if (!IsStripped(bytes, character, end - character.bytes, characters)) break;
    end -= character.bytes;
  }
  return text.Substr(start, end - start);
}

std::vector<OriginText> SplitText(const OriginText& text, std::optional<std::string_view> separator,
                                  int64_t limit) {
  if (!separator) return SplitAtSpace(text, limit);
  std::vector<OriginText> parts;
  size_t start = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = text.text().find(*separator, start);
    if (found == std::string::npos) break;
    parts.push_back(text.Substr(start, found - start));
    start = found + separator->size();
  }
  parts.push_back(text.Substr(start));
  return parts;
}

std::vector<OriginText> SplitLines(const OriginText& text) {
  std::vector<OriginText> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.text().find_first_of("\r\n", start), text.size());
    lines.push_back(text.Substr(start, end - start));
    start = end + (text.text().compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return lines;
}

OriginText Replace(const OriginText& text, std::string_view from, const OriginText& to, int64_t limit) {
  OriginText out;
  bool first = true;
  for (const OriginText& part : SplitText(text, from, limit)) {
    if (!first) out.Append(to);
    out.Append(part);
    first = false;
  }
  return out;
}

OriginText ChangeCase(const OriginText& text, Case to) {
  OriginText out;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text.text(), at);
    const bool first = to == Case::kTitle ? !in_word : at == 0;
    const bool upper = to == Case::kUpper || (to != Case::kLower && first);
    const utf8proc_int32_t changed =
        upper ? utf8proc_toupper(character.code_point) : utf8proc_tolower(character.code_point);
    utf8proc_uint8_t encoded[4];
    const utf8proc_ssize_t bytes = utf8proc_encode_char(changed, encoded);
    out.Append(std::string_view(reinterpret_cast<const char*>(encoded), bytes), text.OriginAt(at));
    in_word = utf8proc_toupper(character.code_point) != utf8proc_tolower(character.code_point);
    at += character.bytes;
  }
  return out;
}

}  // namespace quire::gateway::jinja
