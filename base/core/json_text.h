// How this project writes a string into JSON: for everything that a client or an operator reads line by line
// (events of a stream, error objects, log lines). Besides what JSON asks for, U+0085, U+2028 and U+2029 are
// escaped, because readers of lines that know Unicode would cut an event there. Pure, any thread. Always: the
// result is valid UTF-8; whatever in the input isn't becomes U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace quire {

// As a JSON string's inside.
void AppendJsonEscaped(std::string_view text, std::string& out);

// As a whole JSON string, in its quotes.
std::string JsonQuoted(std::string_view text);

}  // namespace quire
