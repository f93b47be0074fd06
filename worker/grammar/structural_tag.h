// A structural tag's source, looked at before xgrammar sees it: whether it is within bounds, which ids it
// names, and which grammars it has within. Pure, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"

namespace quire::worker {

struct StructuralTagBounds {
  static constexpr size_t kMaxBytes = 256 << 10;
  static constexpr int kMaxDepth = 256;  // of brackets
  // Strings that free text must look out for: triggers and excludes.
  static constexpr int64_t kMaxWatched = 256;
};

struct StructuralTag {
  // Of its `token` formats and of their like: no others of the special ones may come.
  std::vector<TokenId> ids;
  std::vector<std::string> grammars;  // EBNF of its `grammar` formats, as it was written
};

// InvalidArgument says what is wrong with it.
absl::StatusOr<StructuralTag> ReadStructuralTag(std::string_view source);

// What a converted grammar costs, by its EBNF text as xgrammar prints it: no other is read rightly.
struct GrammarSize {
  static constexpr size_t kMaxBytes = 384 << 10;
  static constexpr int64_t kMaxRules = 4096;
  // Sets of characters, each of which is a state at least, for which all of a vocabulary is looked at: some
  // 1.5 ms and 19 KB. What is repeated counts as often as it must, or may, come, as far as xgrammar unrolls
  // it.
  static constexpr int64_t kMaxRepeats = 4096;
  // Of one repetition: with more xgrammar lets ids come that it then refuses.
  static constexpr int64_t kMaxTimes = 128;

  size_t bytes = 0;
  int64_t rules = 0, repeats = 0, longest = 0;
  // Of the names of macros other than Token's, and of rules' attributes: an automaton that no other bound
  // knows, and what nobody asks for.
  std::string macro = {};

  // InvalidArgument names the bound.
  absl::Status Check() const;
  // Of a `grammar` format by itself: also that it has no macro.
  absl::Status CheckWithin() const;
};
GrammarSize SizeOf(std::string_view ebnf);

}  // namespace quire::worker
