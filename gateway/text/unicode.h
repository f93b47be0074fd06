// The few questions about characters that tokenizing asks. Pure functions over UTF-8, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/text/origin_text.h"

namespace quire::gateway {

// Strict: no surrogates, no overlong forms, nothing above U+10FFFF.
bool IsValidUtf8(std::string_view text);

// The character that starts at text[at], with its length in bytes. `text` must be valid UTF-8.
struct Character {
  int32_t code_point;
  size_t bytes;
};
Character CharacterAt(std::string_view text, size_t at);
// The character that ends just before text[end]; end > 0.
Character CharacterBefore(std::string_view text, size_t end);

// Appends a code point (no surrogate, at most U+10FFFF) as UTF-8.
void AppendCharacter(int32_t code_point, std::string& out);

bool IsWhitespace(int32_t code_point);  // Unicode's White_Space
bool IsWord(int32_t code_point);        // \w: letters, marks, decimal digits, connectors

// Unicode normalization form C. A byte of the result is the template's only if all that it was made of is.
// `text` must be valid UTF-8. O(n log n), whatever the text.
OriginText NormalizeNfc(const OriginText& text);

}  // namespace quire::gateway
