#include "base/core/byte_alphabet.h"

namespace quire {
namespace {

constexpr int kCharacters =
    256 + 68;  // code points in use: the printable bytes as themselves, 68 others from 256 on

// Printable Latin-1 stands for itself.
bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, kCharacters> bytes;  // by code point; -1 for none

  Alphabet() {
    bytes.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = StandsForItself(byte) ? byte : next++;
      bytes[code_point] = byte;
      if (code_point < 0x80) {
        characters[byte] = std::string(1, static_cast<char>(code_point));
      } else {
        characters[byte] = {static_cast<char>(0xC0 | (code_point >> 6)),
                            static_cast<char>(0x80 | (code_point & 0x3F))};
      }
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

const std::array<std::string, 256>& ByteAlphabet() { return TheAlphabet().characters; }

std::optional<std::string> BytesOfToken(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size(); ++i) {
    int code_point = static_cast<unsigned char>(token[i]);
    if (code_point >= 0x80) {
      // Every character of the alphabet has at most two bytes of UTF-8.
      if (code_point < 0xC0 || code_point >= 0xE0 || i + 1 == token.size()) return std::nullopt;
      code_point = (code_point & 0x1F) << 6 | (static_cast<unsigned char>(token[++i]) & 0x3F);
    }
    if (code_point >= kCharacters || TheAlphabet().bytes[code_point] < 0) return std::nullopt;
    out.push_back(static_cast<char>(TheAlphabet().bytes[code_point]));
  }
  return out;
}

}  // namespace quire
