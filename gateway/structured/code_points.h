// Sets of Unicode's characters, as regular expressions and JSON strings have them: sorted ranges that neither
// touch nor overlap. Plain values; pure, any thread. Surrogates are no characters: no set holds one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quire::gateway {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

class CodePoints {
 public:
  struct Range {
    char32_t first, last;  // both in it
    bool operator==(const Range&) const = default;
  };

  CodePoints() = default;
  // In any order.
  explicit CodePoints(std::vector<Range> ranges);
  static CodePoints All();

  const std::vector<Range>& ranges() const& { return ranges_; }
  void ranges() && = delete;  // a loop over it would outlive it
  bool empty() const { return ranges_.empty(); }
  bool Has(char32_t code_point) const;
  CodePoints And(const CodePoints& other) const;
  CodePoints Or(const CodePoints& other) const;
  CodePoints Without(const CodePoints& other) const;
  bool operator==(const CodePoints&) const = default;

  // One of them, as EBNF writes it, "[a-z]"; not of the empty set.
  std::string Class() const;

 private:
  std::vector<Range> ranges_;
};

}  // namespace quire::gateway
