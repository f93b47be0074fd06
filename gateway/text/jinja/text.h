// Python's string methods over text with origins: each byte of a result keeps the origin it came with.
// Positions are in characters, as in Python. Pure functions, any thread; texts are valid UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway::jinja {

// str.isspace() of one character: Unicode's white space and the four separators of ASCII.
bool IsSpace(int32_t code_point);

int64_t CharCount(std::string_view text);
std::vector<OriginText> Characters(const OriginText& text);

// [start:stop:step] over `count` things, as Python resolves it: from, from + step, ... as long as before
// `to`.
struct SliceRange {
  int64_t from, to, step;

  bool Before(int64_t at) const { return step > 0 ? at < to : at > to; }
};
// step is not 0.
SliceRange ResolveSlice(int64_t count, std::optional<int64_t> start, std::optional<int64_t> stop,
                        int64_t step);
OriginText SliceText(const OriginText& text, std::optional<int64_t> start, std::optional<int64_t> stop,
                     int64_t step);

enum class Side { kLeft, kRight, kBoth };
// Without `characters`, white space.
OriginText Strip(const OriginText& text, Side side, std::optional<std::string_view> characters);

// Without `separator`, at white space. At most `limit` cuts, or any number if it is negative; from the end
// with `from_end`. separator is not empty.
std::vector<OriginText> SplitText(const OriginText& text, std::optional<std::string_view> separator,
                                  int64_t limit, bool from_end = false);
// At every line end that Python knows, \u2028 and \x85 among them.
std::vector<OriginText> SplitLines(const OriginText& text, bool keep_ends = false);

// An empty `from` is found before every character and at the end. INVALID_ARGUMENT for more than
// kMaxValueBytes.
absl::StatusOr<OriginText> Replace(const OriginText& text, std::string_view from, const OriginText& to,
                                   int64_t limit);

enum class Case { kUpper, kLower, kCapitalize, kTitle, kSwap, kFold };
OriginText ChangeCase(const OriginText& text, Case to);

// str.isprintable() of one character.
bool IsPrintable(int32_t code_point);
// str.isalpha() and its like, by the method's name; none for another name.
std::optional<bool> HasProperty(std::string_view text, std::string_view method);

// `text` at the left (-1), middle (0, as str.center) or right (1) of `width` characters of `fill`.
absl::StatusOr<OriginText> Pad(const OriginText& text, int64_t width, int side, std::string_view fill);

// &, <, >, " and ' as HTML.
OriginText EscapeHtml(const OriginText& text);

}  // namespace quire::gateway::jinja
