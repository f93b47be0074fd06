#include "gateway/structured/code_points.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace quire::gateway {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

// Always by its number: nothing needs to be escaped then.
void AppendEscaped(char32_t code_point, std::string& to) {
  absl::StrAppendFormat(&to, "\\U%08X", static_cast<uint32_t>(code_point));
}

}  // namespace

CodePoints::CodePoints(std::vector<Range> ranges) {
  std::vector<Range> cut;
  for (const Range& range : ranges) {
    const char32_t before = std::min<char32_t>(range.last, kFirstSurrogate - 1);
    const char32_t behind = std::max<char32_t>(range.first, kLastSurrogate + 1);
    if (range.first <= before) cut.push_back({range.first, before});
    if (behind <= range.last) cut.push_back({behind, range.last});
  }
  std::sort(cut.begin(), cut.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  for (const Range& range : cut) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

CodePoints CodePoints::All() { return CodePoints({{0, kLastCodePoint}}); }

bool CodePoints::Has(char32_t code_point) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [code_point](const Range& range) {
    return range.first <= code_point && code_point <= range.last;
  });
}

CodePoints CodePoints::And(const CodePoints& other) const {
  std::vector<Range> both;
  size_t a = 0, b = 0;
  while (a < ranges_.size() && b < other.ranges_.size()) {
    const Range& mine = ranges_[a];
    const Range& its = other.ranges_[b];
    const Range common{std::max(mine.first, its.first), std::min(mine.last, its.last)};
    if (common.first <= common.last) both.push_back(common);
    ++(mine.last < its.last ? a : b);
  }
  return CodePoints(std::move(both));
}

CodePoints CodePoints::Or(const CodePoints& other) const {
  std::vector<Range> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePoints(std::move(all));
}

CodePoints CodePoints::Without(const CodePoints& other) const {
  std::vector<Range> gaps;
  char32_t next = 0;
  for (const Range& range : other.ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
  return And(CodePoints(std::move(gaps)));
}

std::string CodePoints::Class() const {
  std::string text = "[";
  for (const Range& range : ranges_) {
    AppendEscaped(range.first, text);
    if (range.last == range.first) continue;
    text += '-';
    AppendEscaped(range.last, text);
  }
  return text + "]";
}

}  // namespace quire::gateway
