// The formats of JSON Schema whose strings are held to them: a regular expression for each, of texts that are
// certainly valid. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quire::gateway {

// nullopt: the format says nothing of the text, as JSON Schema has it for what is unknown.
std::optional<std::string_view> PatternOfFormat(std::string_view format);

}  // namespace quire::gateway
