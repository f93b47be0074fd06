// Regular expressions as clients write them (ECMA-262's, as JSON Schema's "pattern" has them), read into a
// tree that an automaton is made of (string_automaton.h). Where dialects differ in what a class holds
// (Python's \d, \w and \s know all of Unicode) only what all of them take is let come. What no grammar can
// say (look-around, \b, references back) is refused, never ignored. Pure, any thread; bounded in size and
// depth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/structured/code_points.h"

namespace quire::gateway {

inline constexpr size_t kMaxRegexBytes = 4096;
inline constexpr uint64_t kMaxRegexTimes = 256;

struct RegexNode {
  enum class Kind { kCharacters, kSequence, kAnyOf, kRepeat };
  Kind kind = Kind::kSequence;
  CodePoints characters = {};         // kCharacters: one of them
  std::vector<RegexNode> parts = {};  // kSequence, kAnyOf; of a kRepeat the one
  uint64_t min = 1;                   // kRepeat
  std::optional<uint64_t> max = {};   // nullopt: without end
};

enum class RegexUse {
  kSearch,  // it matches somewhere in the text
  kWhole,   // it is the whole text; ^ and $ at its ends say nothing
};

// InvalidArgument says what is wrong, and at which character.
absl::StatusOr<RegexNode> ParseRegex(std::string_view pattern, RegexUse use);

}  // namespace quire::gateway
