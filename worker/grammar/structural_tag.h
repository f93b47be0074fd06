// A structural tag's source, looked at before xgrammar sees it: whether it is within bounds, and which ids it
// names. Pure, any thread.
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

// The ids of its `token` formats and of their like: no others of the special ones may come. InvalidArgument
// says what is wrong with it.
absl::StatusOr<std::vector<TokenId>> ReadStructuralTag(std::string_view source);

// What a converted grammar costs, by its EBNF text.
struct GrammarSize {
  static constexpr size_t kMaxBytes = 384 << 10;
  static constexpr int64_t kMaxRules = 2000;
  // What is repeated counts as often as it must, or may, come, as far as xgrammar unrolls it.
  static constexpr int64_t kMaxRepeats = 4096;

  size_t bytes = 0;
  int64_t rules = 0, repeats = 0;

  // InvalidArgument names the bound.
  absl::Status Check() const;
};
GrammarSize SizeOf(std::string_view ebnf);

}  // namespace quire::worker
