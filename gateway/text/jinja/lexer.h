// Cuts a chat template into tokens, with Hugging Face's settings: trim_blocks, lstrip_blocks, the last
// newline dropped, line ends made \n. A pure function, any thread. Always: errors name the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/status.h"

namespace quire::gateway::jinja {

enum class TokenKind {
  kText,
  kOutputBegin,
  kOutputEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind;
  std::string text;  // of kString: the value, escapes undone
  int line;
};

// The last token is kEnd.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

// "chat template, line N: PROBLEM"
absl::Status TemplateError(int line, std::string_view problem);
// Gives an error of a value operation its line.
template <typename T>
absl::StatusOr<T> AtLine(absl::StatusOr<T> result, int line) {
  if (result.ok()) return result;
  return TemplateError(line, MessageOf(result.status()));
}

}  // namespace quire::gateway::jinja
