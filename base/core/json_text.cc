#include "base/core/json_text.h"

#include <cstddef>

namespace quire {
namespace {

unsigned char ByteAt(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

// The bytes of the well-formed character (beyond ASCII) that `text` begins with; 0 where it begins with none.
size_t CharacterBytes(std::string_view text) {
  const unsigned char lead = ByteAt(text, 0);
  const size_t size = lead >= 0xC2 && lead <= 0xDF ? 2 : (lead & 0xF0) == 0xE0 ? 3 : 4;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((ByteAt(text, i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = ByteAt(text, 1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F;
  const bool beyond = lead == 0xF4 && second > 0x8F;
  return overlong || surrogate || beyond ? 0 : size;
}

void AppendAscii(char c, std::string& out) {
  constexpr const char* kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else if (byte >= 0x20) {
    out += c;
  } else if (c == '\n') {
    out += "\\n";
  } else {
    out += "\\u00";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

void AppendCharacter(std::string_view character, std::string& out) {
  if (character == "\xC2\x85") {
    out += "\\u0085";
  } else if (character == "\xE2\x80\xA8") {
    out += "\\u2028";
  } else if (character == "\xE2\x80\xA9") {
    out += "\\u2029";
  } else {
    out += character;
  }
}

}  // namespace

void AppendJsonEscaped(std::string_view text, std::string& out) {
  while (!text.empty()) {
    size_t size = 1;
    if (ByteAt(text, 0) < 0x80) {
      AppendAscii(text[0], out);
    } else if (const size_t bytes = CharacterBytes(text); bytes > 0) {
      size = bytes;
      AppendCharacter(text.substr(0, size), out);
    } else {
      out += "\xEF\xBF\xBD";
    }
    text.remove_prefix(size);
  }
}

std::string JsonQuoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(text, quoted);
  quoted += '"';
  return quoted;
}

}  // namespace quire
