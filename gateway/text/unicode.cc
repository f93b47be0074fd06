#include "gateway/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

namespace quire::gateway {
namespace {

const utf8proc_uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

bool IsAscii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Appends the canonical decomposition of all of `text`.
void Decompose(std::string_view text, std::vector<utf8proc_int32_t>& out) {
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    at += character.bytes;
    utf8proc_int32_t parts[32];  // no canonical decomposition has more than 4
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(character.code_point, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    out.insert(out.end(), parts, parts + std::clamp<utf8proc_ssize_t>(count, 0, 32));
  }
}

// Puts each run of combining characters in canonical order. utf8proc's own sort is quadratic, hence this one.
void OrderMarks(std::vector<utf8proc_int32_t>& characters) {
  const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (auto start = characters.begin(); start != characters.end();) {
    start = std::find_if(start, characters.end(), [&](auto c) { return combining_class(c) != 0; });
    const auto end = std::find_if(start, characters.end(), [&](auto c) { return combining_class(c) == 0; });
    std::stable_sort(start, end, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
    start = end;
  }
}

std::string NfcOf(std::string_view text) {
  std::vector<utf8proc_int32_t> characters;
  Decompose(text, characters);
  OrderMarks(characters);
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const utf8proc_ssize_t count = utf8proc_normalize_utf32(characters.data(), characters.size(), options);
  std::string out;
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    AppendCharacter(characters[i], out);
  }
  return out;
}

// Where the ASCII at `start` ends that stands before no other character, with which its last one might
// compose.
size_t PlainFrom(std::string_view text, size_t start) {
  size_t end = start;
  while (end < text.size() && IsAscii(text[end])) ++end;
  return end == text.size() || end == start ? end : end - 1;
}

Origin OriginOf(const OriginText& text, size_t start, size_t end) {
  for (size_t i = start; i < end; ++i) {
    if (!text.FromTemplate(i)) return Origin::kUser;
  }
  return Origin::kTemplate;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (IsAscii(text[at])) {
      ++at;
      continue;
    }
    utf8proc_int32_t code_point;
    const utf8proc_ssize_t bytes = utf8proc_iterate(Bytes(text) + at, text.size() - at, &code_point);
    if (bytes <= 0) return false;
    at += bytes;
  }
  return true;
}

Character CharacterAt(std::string_view text, size_t at) {
  utf8proc_int32_t code_point;
  const utf8proc_ssize_t bytes = utf8proc_iterate(Bytes(text) + at, text.size() - at, &code_point);
  if (bytes <= 0) return {0xFFFD, 1};
  return {code_point, static_cast<size_t>(bytes)};
}

Character CharacterBefore(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return CharacterAt(text, start);
}

void AppendCharacter(int32_t code_point, std::string& out) {
  utf8proc_uint8_t encoded[4];
  const utf8proc_ssize_t bytes = utf8proc_encode_char(code_point, encoded);
  out.append(reinterpret_cast<const char*>(encoded), static_cast<size_t>(bytes));
}

bool IsWhitespace(int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return (code_point >= '\t' && code_point <= '\r') || code_point == 0x85;
  }
}

bool IsWord(int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

OriginText NormalizeNfc(const OriginText& text) {
  const std::string& bytes = text.text();
  OriginText out;
  for (size_t start = 0; start < bytes.size();) {
    if (const size_t plain = PlainFrom(bytes, start); plain > start) {
      out.Append(text.Substr(start, plain - start));
      start = plain;
      continue;
    }
    // ASCII never composes with what stands before it, so that a stretch from one ASCII byte to the next is
    // normalized by itself; this keeps origins apart wherever they can be.
    size_t end = start + 1;
    while (end < bytes.size() && !IsAscii(bytes[end])) ++end;
    const std::string_view stretch(bytes.data() + start, end - start);
    const std::string normal = NfcOf(stretch);
    if (normal == stretch) {
      out.Append(text.Substr(start, end - start));
    } else {
      out.Append(normal, OriginOf(text, start, end));
    }
    start = end;
  }
  return out;
}

}  // namespace quire::gateway
