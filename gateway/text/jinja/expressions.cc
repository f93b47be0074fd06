// The grammar of expressions, from the loosest binding to the tightest, as Jinja has it.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/parser.h"

namespace quire::gateway::jinja {

using Result = absl::StatusOr<ExprPtr>;

Result ExpressionParser::Finish(Expr node) {
  const auto deepen = [&](const ExprPtr& child) {
    if (child != nullptr) node.depth = std::max(node.depth, child->depth + 1);
  };
  for (const ExprPtr& child : node.operands) deepen(child);
  for (const Keyword& keyword : node.keywords) deepen(keyword.value);
  if (node.depth > kMaxNodeDepth) return cursor_.Error("the expression is nested too deeply");
  return std::make_unique<const Expr>(std::move(node));
}

Result ExpressionParser::Nested(Result (ExpressionParser::*next)()) {
  if (nesting_ >= kMaxNodeDepth) return cursor_.Error("the expression is nested too deeply");
  ++nesting_;
  Result result = (this->*next)();
  --nesting_;
  return result;
}

Result ExpressionParser::Parse() { return Tuple(Conditional(), true); }

Result ExpressionParser::ParseWithoutCondition() { return Tuple(Or(), false); }

Result ExpressionParser::Tuple(Result first, bool with_condition) {
  if (!first.ok() || !cursor_.AtOperator(",")) return first;
  Expr tuple = Start(ExprKind::kTuple);
  tuple.operands.push_back(*std::move(first));
  while (cursor_.SkipOperator(",")) {
    const TokenKind kind = cursor_.Current().kind;
    if (kind == TokenKind::kOutputEnd || kind == TokenKind::kBlockEnd || cursor_.AtOperator(")")) break;
    QUIRE_ASSIGN_OR_RETURN(ExprPtr item, with_condition ? Conditional() : Or());
    tuple.operands.push_back(std::move(item));
  }
  return Finish(std::move(tuple));
}

Result ExpressionParser::Conditional() {
  Result value = Nested(&ExpressionParser::Or);
  while (value.ok() && cursor_.AtName("if")) {
    Expr node = Start(ExprKind::kConditional);
    cursor_.Take();
    QUIRE_ASSIGN_OR_RETURN(ExprPtr condition, Or());
    node.operands.push_back(*std::move(value));
    node.operands.push_back(std::move(condition));
    if (cursor_.SkipName("else")) {
      QUIRE_ASSIGN_OR_RETURN(ExprPtr otherwise, Nested(&ExpressionParser::Conditional));
      node.operands.push_back(std::move(otherwise));
    } else {
      node.operands.push_back(nullptr);
    }
    value = Finish(std::move(node));
  }
  return value;
}

Result ExpressionParser::Or() {
  Result left = And();
  while (left.ok() && cursor_.SkipName("or")) {
    Expr node = Start(ExprKind::kOr);
    QUIRE_ASSIGN_OR_RETURN(ExprPtr right, And());
    node.operands.push_back(*std::move(left));
    node.operands.push_back(std::move(right));
    left = Finish(std::move(node));
  }
  return left;
}

Result ExpressionParser::And() {
  Result left = Not();
  while (left.ok() && cursor_.SkipName("and")) {
    Expr node = Start(ExprKind::kAnd);
    QUIRE_ASSIGN_OR_RETURN(ExprPtr right, Not());
    node.operands.push_back(*std::move(left));
    node.operands.push_back(std::move(right));
    left = Finish(std::move(node));
  }
  return left;
}

Result ExpressionParser::Not() {
  if (!cursor_.AtName("not")) return Compare();
  Expr node = Start(ExprKind::kNot);
  cursor_.Take();
  QUIRE_ASSIGN_OR_RETURN(ExprPtr operand, Nested(&ExpressionParser::Not));
  node.operands.push_back(std::move(operand));
  return Finish(std::move(node));
}

std::optional<Comparison> ExpressionParser::ComparisonOperator() {
  struct Entry {
    std::string_view text;
    Comparison op;
  };
  static constexpr Entry kSymbols[] = {{"==", Comparison::kEqual},       {"!=", Comparison::kNotEqual},
                                       {"<=", Comparison::kLessOrEqual}, {">=", Comparison::kGreaterOrEqual},
                                       {"<", Comparison::kLess},         {">", Comparison::kGreater}};
  for (const Entry& symbol : kSymbols) {
    if (cursor_.SkipOperator(symbol.text)) return symbol.op;
  }
  if (cursor_.SkipName("in")) return Comparison::kIn;
  if (cursor_.AtName("not") && cursor_.Next().kind == TokenKind::kName && cursor_.Next().text == "in") {
    cursor_.Take();
    cursor_.Take();
    return Comparison::kNotIn;
  }
  return std::nullopt;
}

Result ExpressionParser::Compare() {
  Result left = Sum();
  if (!left.ok()) return left;
  Expr node = Start(ExprKind::kCompare);
  node.operands.push_back(*std::move(left));
  while (const std::optional<Comparison> op = ComparisonOperator()) {
    QUIRE_ASSIGN_OR_RETURN(ExprPtr right, Sum());
    node.comparisons.push_back(*op);
    node.operands.push_back(std::move(right));
  }
  if (node.comparisons.empty()) return std::move(node.operands[0]);
  return Finish(std::move(node));
}

Result ExpressionParser::LeftChain(std::initializer_list<Spelling> operators,
                                   Result (ExpressionParser::*next)()) {
  Result left = (this->*next)();
  while (left.ok()) {
    const auto op = std::find_if(operators.begin(), operators.end(), [&](const Spelling& candidate) {
      return cursor_.AtOperator(candidate.text);
    });
    if (op == operators.end()) break;
    Expr node = Start(ExprKind::kBinary);
    node.binary = op->op;
    cursor_.Take();
    QUIRE_ASSIGN_OR_RETURN(ExprPtr right, (this->*next)());
    node.operands.push_back(*std::move(left));
    node.operands.push_back(std::move(right));
    left = Finish(std::move(node));
  }
  return left;
}

Result ExpressionParser::Sum() {
  return LeftChain({{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSubtract}},
                   &ExpressionParser::Concat);
}

Result ExpressionParser::Concat() {
  return LeftChain({{"~", BinaryOperator::kConcat}}, &ExpressionParser::Product);
}

Result ExpressionParser::Product() {
  return LeftChain({{"*", BinaryOperator::kMultiply},
                    {"/", BinaryOperator::kDivide},
                    {"//", BinaryOperator::kFloorDivide},
                    {"%", BinaryOperator::kModulo}},
                   &ExpressionParser::Power);
}

Result ExpressionParser::Power() {
  Result left = Unary(true);
  while (left.ok() && cursor_.AtOperator("**")) {
    Expr node = Start(ExprKind::kBinary);
    node.binary = BinaryOperator::kPower;
    cursor_.Take();
    QUIRE_ASSIGN_OR_RETURN(ExprPtr right, Unary(true));
    node.operands.push_back(*std::move(left));
    node.operands.push_back(std::move(right));
    left = Finish(std::move(node));
  }
  return left;
}

Result ExpressionParser::Unary(bool with_filters) {
  if (nesting_ >= kMaxNodeDepth) return cursor_.Error("the expression is nested too deeply");
  ExprPtr node;
  if (cursor_.AtOperator("-") || cursor_.AtOperator("+")) {
    Expr unary = Start(ExprKind::kNegate);
    const bool negates = cursor_.Take().text == "-";
    ++nesting_;
    Result operand = Unary(false);
    --nesting_;
    if (!operand.ok()) return operand;
    node = *std::move(operand);
    if (negates) {
      unary.operands.push_back(std::move(node));
      QUIRE_ASSIGN_OR_RETURN(node, Finish(std::move(unary)));
    }
  } else {
    QUIRE_ASSIGN_OR_RETURN(node, Primary());
  }
  QUIRE_ASSIGN_OR_RETURN(node, Postfix(std::move(node)));
  return with_filters ? Filters(std::move(node)) : Result(std::move(node));
}

}  // namespace quire::gateway::jinja
