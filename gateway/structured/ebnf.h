// Pieces of EBNF as the workers' grammar engine reads it. Pure, any thread. Always: a JSON string's
// characters have one spelling each (JSON's shortest), so that what a text is not is known by its bytes;
// repetitions are of at most 128 (with more the engine lets come what it then refuses).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/structured/code_points.h"

namespace quire::gateway {

inline constexpr uint64_t kMaxTimes = 128;

// "..." of any UTF-8.
std::string EbnfLiteral(std::string_view text);
// Choices that together are any one of the characters; in a JSON string as they are spelled there, by the
// rule `escape` too.
std::vector<std::string> EbnfCharacters(const CodePoints& characters, bool in_json_string);
// {min,max}, or one that is shorter; max: nullopt where it has no end.
std::string EbnfTimes(uint64_t min, std::optional<uint64_t> max);
// (a | b | c); of none: "".
std::string EbnfAnyOf(const std::vector<std::string>& choices);

// Of valid UTF-8.
std::u32string CodePointsOf(std::string_view utf8);

}  // namespace quire::gateway
