// Pieces of EBNF as the workers' grammar engine reads it: what is said literally, and characters of a JSON
// string. Pure, any thread. Always: a string's characters have one spelling each (JSON's shortest), so that
// what a text is not is known by its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/structured/code_points.h"

namespace quire::gateway {

// Where a character stands: in a text by itself, or within a JSON string.
enum class TextPlace { kPlain, kJsonString };

// "..." of any UTF-8.
std::string EbnfLiteral(std::string_view text);
// One of the characters.
std::string EbnfOneOf(const CodePoints& characters, TextPlace place);
// A character as it stands there.
std::string EbnfCharacter(char32_t code_point, TextPlace place);
// {min,max}, or one that is shorter; max: nullopt where it has no end.
std::string EbnfTimes(uint64_t min, std::optional<uint64_t> max);
// (a | b | c); of none: "".
std::string EbnfAnyOf(const std::vector<std::string>& choices);

// Of valid UTF-8.
std::u32string CodePointsOf(std::string_view utf8);

}  // namespace quire::gateway
