// Chat template source to tree. Pure functions, any thread. The two classes are the halves of one recursive
// descent: ExpressionParser reads what stands inside tags, parser.cc's statements what stands between
// them.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/text/jinja/ast.h"
#include "gateway/text/jinja/lexer.h"

namespace quire::gateway::jinja {

inline constexpr size_t kMaxTemplateBytes = 1 << 20;

absl::StatusOr<Body> ParseTemplate(std::string_view source);

// A place in the token list.
class TokenCursor {
 public:
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Current() const { return tokens_[at_]; }
  const Token& Next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_.back(); }
  bool At(TokenKind kind, std::string_view text) const {
    return Current().kind == kind && Current().text == text;
  }
  bool AtName(std::string_view name) const { return At(TokenKind::kName, name); }
  bool AtOperator(std::string_view op) const { return At(TokenKind::kOperator, op); }
  // Takes the token if it is that one.
  bool SkipName(std::string_view name);
  bool SkipOperator(std::string_view op);
  absl::Status Expect(TokenKind kind, std::string_view text);
  absl::StatusOr<std::string> ExpectName();
  absl::Status Error(std::string_view problem) const;
  size_t place() const { return at_; }
  // Whether that name stands between a place and the current one.
  bool UsesName(size_t since, std::string_view name) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : cursor_(cursor) {}

  // A whole expression; with a comma after it, a tuple.
  absl::StatusOr<ExprPtr> Parse();
  // Without "x if y else z" at the top: what stands after a for's "in".
  absl::StatusOr<ExprPtr> ParseWithoutCondition();
  absl::StatusOr<ExprPtr> ParseSingle() { return Conditional(); }
  // "name(...) | name(...)", in order; with `after_bar`, only what stands behind a "|".
  absl::StatusOr<std::vector<ExprPtr>> ParseFilters(bool after_bar);

 private:
  using Result = absl::StatusOr<ExprPtr>;
  // Closes a node: computes its depth and refuses it if it is too deep.
  Result Finish(Expr node);
  Expr Start(ExprKind kind) const { return {kind, cursor_.Current().line}; }
  Result Tuple(Result first, bool with_condition);

  Result Conditional();
  Result Or();
  Result And();
  Result Not();
  Result Compare();
  Result Sum();
  Result Concat();
  Result Product();
  Result Power();
  Result Unary(bool with_filters);
  Result Primary();
  Result Postfix(ExprPtr node);
  Result Filters(ExprPtr node);
  Result Filter(ExprPtr node);  // at its name
  Result Test(ExprPtr node);
  Result Subscript(ExprPtr node);
  Result Literal(Value value);
  Result Name();
  Result Number();
  Result Strings();
  Result Parenthesized();
  Result ListLiteral();
  Result DictLiteral();
  absl::Status Arguments(Expr& call);
  absl::Status Argument(Expr& call);
  std::optional<Comparison> ComparisonOperator();
  // One left-associative level: operators between operands that `next` reads.
  struct Spelling {
    std::string_view text;
    BinaryOperator op;
  };
  Result LeftChain(std::initializer_list<Spelling> operators, Result (ExpressionParser::*next)());
  Result Nested(Result (ExpressionParser::*next)());

  TokenCursor& cursor_;
  int nesting_ = 0;
};

}  // namespace quire::gateway::jinja
