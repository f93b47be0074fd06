// One pre-tokenizing pattern of a tokenizer.json, compiled (PCRE2, JIT where the machine has it). The files
// are written for Oniguruma; where the two differ in what we need the pattern is translated, and what can't
// be is refused. Owned by Tokenizer; immutable, any thread. Always: a text is cut at every match's start and
// end, nothing is lost, and no pattern can run away (match limit).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;

namespace quire::gateway {

class Splitter {
 public:
  static absl::StatusOr<Splitter> Create(const std::string& pattern);

  // Calls `emit` for each non-empty piece of `text` (valid UTF-8), in order; stops at its first error.
  using Emit = std::function<absl::Status(std::string_view piece)>;
  absl::Status Split(std::string_view text, const Emit& emit) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  struct FreeContext {
    void operator()(pcre2_real_match_context_8* context) const;
  };
  Splitter() = default;

  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  std::unique_ptr<pcre2_real_match_context_8, FreeContext> context_;
};

}  // namespace quire::gateway
