// The byte-level alphabet of GPT-2 style vocabularies: each of the 256 bytes is written as one printable
// character, so that tokens are text ("Ġthe" is " the"). Pure functions, any thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace quire {

// The character (UTF-8) that stands for each byte.
const std::array<std::string, 256>& ByteAlphabet();

// The bytes that `token` stands for; nullopt if it has a character outside of the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

}  // namespace quire
