#include "gateway/text/jinja/text.h"

#include <algorithm>

#include "gateway/text/jinja/value.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

// Where str.splitlines() cuts.
bool IsLineEnd(int32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
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

std::vector<OriginText> SplitAtSpaceFromEnd(const OriginText& text, int64_t limit) {
  std::vector<OriginText> parts;
  size_t end = text.size();
  while (end > 0) {
    Character character = CharacterBefore(text.text(), end);
    if (IsSpace(character.code_point)) {
      end -= character.bytes;
      continue;
    }
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Strip(text.Substr(0, end), Side::kLeft, std::nullopt));
      break;
    }
    const size_t stop = end;
    while (end > 0 && !IsSpace((character = CharacterBefore(text.text(), end)).code_point)) {
      end -= character.bytes;
    }
    parts.push_back(text.Substr(end, stop - end));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

bool IsSpace(int32_t code_point) {
  return IsWhitespace(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

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
                                  int64_t limit, bool from_end) {
  if (!separator) return from_end ? SplitAtSpaceFromEnd(text, limit) : SplitAtSpace(text, limit);
  std::vector<OriginText> parts;
  if (from_end) {
    size_t end = text.size();
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
      if (end < separator->size()) break;
      const size_t found = text.text().rfind(*separator, end - separator->size());
      if (found == std::string::npos) break;
      parts.push_back(text.Substr(found + separator->size(), end - found - separator->size()));
      end = found;
    }
    parts.push_back(text.Substr(0, end));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
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

std::vector<OriginText> SplitLines(const OriginText& text, bool keep_ends) {
  std::vector<OriginText> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text.text(), at);
    const size_t end = at;
    at += character.bytes;
    if (!IsLineEnd(character.code_point)) continue;
    if (character.code_point == '\r' && text.text().compare(at, 1, "\n") == 0) ++at;
    lines.push_back(text.Substr(start, (keep_ends ? at : end) - start));
    start = at;
  }
  if (start < text.size()) lines.push_back(text.Substr(start));
  return lines;
}

absl::StatusOr<OriginText> Replace(const OriginText& text, std::string_view from, const OriginText& to,
                                   int64_t limit) {
  const size_t most = from.empty() ? text.size() + 1 : text.size() / from.size();
  if (most > 0 && to.size() > kMaxValueBytes / most) {
    return absl::InvalidArgumentError("a text becomes too long");
  }
  OriginText out;
  if (from.empty()) {
    int64_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t bytes = CharacterAt(text.text(), at).bytes;
      if (limit < 0 || done++ < limit) out.Append(to);
      out.Append(text.Substr(at, bytes));
      at += bytes;
    }
    if (limit < 0 || done < limit) out.Append(to);
    return out;
  }
  size_t start = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    const size_t found = text.text().find(from, start);
    if (found == std::string::npos) break;
    out.Append(text.Substr(start, found - start));
    out.Append(to);
    start = found + from.size();
  }
  out.Append(text.Substr(start));
  return out;
}

absl::StatusOr<OriginText> Pad(const OriginText& text, int64_t width, int side, std::string_view fill) {
  const int64_t missing = width - CharCount(text.text());
  if (missing <= 0) return text;
  if (missing > static_cast<int64_t>(kMaxValueBytes / 4)) {
    return absl::InvalidArgumentError("a text becomes too long");
  }
  // As CPython's str.center: the odd one goes to the left only for an odd width.
  const int64_t left = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
  OriginText out;
  const auto add = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) out.Append(fill, Origin::kUser);
  };
  add(left);
  out.Append(text);
  add(missing - left);
  return out;
}

OriginText EscapeHtml(const OriginText& text) {
  OriginText out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.text()[i];
    const std::string_view escaped = c == '&'    ? "&amp;"
                                     : c == '<'  ? "&lt;"
                                     : c == '>'  ? "&gt;"
                                     : c == '"'  ? "&#34;"
                                     : c == '\'' ? "&#39;"
                                                 : std::string_view(&text.text()[i], 1);
    out.Append(escaped, text.OriginAt(i));
  }
  return out;
}

}  // namespace quire::gateway::jinja
