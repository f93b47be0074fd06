// The parts of a request's target, decoded: what a path's tail or a query says. Pure, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace quire::http {

// nullopt: a '%' without two hex digits behind it.
std::optional<std::string> PercentDecode(std::string_view text);

// "a=1&b=x%20y" as a map; '+' is a space, what can't be decoded stays as it is, the last of equal names
// counts.
std::map<std::string, std::string> ParseQuery(std::string_view text);

}  // namespace quire::http
