// The parts of a request's target, decoded: what a path's tail or a query says. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quire::http {

// nullopt: a '%' without two hex digits behind it.
std::optional<std::string> PercentDecode(std::string_view text);

// "a=1&b=x%20y" as names and values, in order; '+' is a space, what can't be decoded stays as it is.
std::vector<std::pair<std::string, std::string>> ParseQuery(std::string_view text);

}  // namespace quire::http
