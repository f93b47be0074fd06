// Pieces of EBNF as the workers' grammar engine reads it: what is said literally, and texts by a regular
// expression, which the engine follows as one automaton: a string's characters spread over rules cost it a
// thousand times as much. Pure, any thread. Always: a JSON string's characters have one spelling each (JSON's
// shortest), so that what a text is not is known by its bytes; repetitions are of at most 128 (with more the
// engine lets come what it then refuses).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/structured/code_points.h"

namespace quire::gateway {

inline constexpr uint64_t kMaxTimes = 128;

// Where a character stands: in a text by itself, or within a JSON string.
enum class TextPlace { kPlain, kJsonString };

// "..." of any UTF-8.
std::string EbnfLiteral(std::string_view text);
// Texts that the regular expression matches from end to end.
std::string EbnfRegex(std::string_view regex);
// {min,max}, or one that is shorter; max: nullopt where it has no end.
std::string EbnfTimes(uint64_t min, std::optional<uint64_t> max);
// (a | b | c); of none: "".
std::string EbnfAnyOf(const std::vector<std::string>& choices);

// As regular expressions: one of the characters, a character, any character of a JSON string.
std::string RegexOneOf(const CodePoints& characters, TextPlace place);
std::string RegexCharacter(char32_t code_point, TextPlace place);
std::string AnyOfString();
// Of so many characters, up to kMaxTimes squared.
std::string RegexTimes(const std::string& one, uint64_t min, std::optional<uint64_t> max);

// Of valid UTF-8.
std::u32string CodePointsOf(std::string_view utf8);

}  // namespace quire::gateway
