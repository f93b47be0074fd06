// Python's three ways to format: format(value, spec), "..." % values and "...".format(values), the last as
// Jinja's sandbox allows it. Pure functions, any thread. Always: each byte of the pattern and of a text that
// is put in keeps its origin, what formatting adds (digits, padding) counts as the user's; no width or
// precision is over kMaxFormatWidth.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/value.h"

namespace quire::gateway::jinja {

inline constexpr int64_t kMaxFormatWidth = 1 << 16;

// A parsed "[[fill]align][sign][#][0][width][grouping][.precision][type]".
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '='
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  int64_t width = 0;
  char grouping = '\0';
  int64_t precision = -1;  // none
  char type = '\0';
};

absl::StatusOr<OriginText> FormatValue(const Value& value, std::string_view spec);
absl::StatusOr<std::string> FormatInteger(int64_t value, const FormatSpec& spec);
absl::StatusOr<std::string> FormatFloat(double value, const FormatSpec& spec);

// pattern % values. With `escapes` (of a markup) what is put in is escaped as HTML.
absl::StatusOr<OriginText> FormatPercent(const OriginText& pattern, const Value& values, bool escapes,
                                         Meter& meter);
// pattern.format(arguments)
absl::StatusOr<OriginText> FormatBraces(const OriginText& pattern, const Arguments& arguments, bool escapes,
                                        Meter& meter);

}  // namespace quire::gateway::jinja
