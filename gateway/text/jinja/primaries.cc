// The grammar of what operators join: literals, names, calls, subscripts, filters and tests.
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/parser.h"

namespace quire::gateway::jinja {

using Result = absl::StatusOr<ExprPtr>;

Result ExpressionParser::Literal(Value value) {
  Expr node = Start(ExprKind::kLiteral);
  node.literal = std::move(value);
  return Finish(std::move(node));
}

Result ExpressionParser::Primary() {
  switch (cursor_.Current().kind) {
    case TokenKind::kName:
      return Name();
    case TokenKind::kString:
      return Strings();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return Number();
    default:
      if (cursor_.AtOperator("(")) return Nested(&ExpressionParser::Parenthesized);
      if (cursor_.AtOperator("[")) return Nested(&ExpressionParser::ListLiteral);
      if (cursor_.AtOperator("{")) return Nested(&ExpressionParser::DictLiteral);
      return cursor_.Error(absl::StrCat("unexpected '", cursor_.Current().text, "'"));
  }
}

Result ExpressionParser::Name() {
  Expr node = Start(ExprKind::kName);
  node.name = cursor_.Take().text;
  if (node.name == "true" || node.name == "True") return Literal(Value(true));
  if (node.name == "false" || node.name == "False") return Literal(Value(false));
  if (node.name == "none" || node.name == "None") return Literal(None{});
  return Finish(std::move(node));
}

Result ExpressionParser::Number() {
  const Token token = cursor_.Take();
  int64_t integer = 0;
  double number = 0;
  const bool has_base =
      token.text.size() > 2 && !absl::ascii_isdigit(static_cast<unsigned char>(token.text[1]));
  if (token.kind == TokenKind::kInteger && has_base) {  // 0x, 0o, 0b
    const int base = (token.text[1] | 0x20) == 'x' ? 16 : (token.text[1] | 0x20) == 'o' ? 8 : 2;
    const char* const end = token.text.data() + token.text.size();
    const auto read = std::from_chars(token.text.data() + 2, end, integer, base);
    if (read.ec == std::errc() && read.ptr == end) return Literal(Value(integer));
  } else if (token.kind == TokenKind::kInteger && absl::SimpleAtoi(token.text, &integer)) {
    return Literal(Value(integer));
  }
  if (token.kind == TokenKind::kFloat && absl::SimpleAtod(token.text, &number)) return Literal(Value(number));
  return TemplateError(token.line, absl::StrCat("the number ", token.text, " is out of range"));
}

Result ExpressionParser::Strings() {
  std::string text = cursor_.Take().text;
  while (cursor_.Current().kind == TokenKind::kString) text += cursor_.Take().text;
  return Literal(Value::TemplateText(text));
}

Result ExpressionParser::Parenthesized() {
  cursor_.Take();
  if (cursor_.SkipOperator(")")) return Finish(Start(ExprKind::kTuple));
  QUIRE_ASSIGN_OR_RETURN(ExprPtr inner, Parse());
  QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, ")"));
  return inner;
}

Result ExpressionParser::ListLiteral() {
  Expr node = Start(ExprKind::kList);
  cursor_.Take();
  while (!cursor_.AtOperator("]")) {
    QUIRE_ASSIGN_OR_RETURN(ExprPtr item, Conditional());
    node.operands.push_back(std::move(item));
    if (!cursor_.SkipOperator(",")) break;
  }
  QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "]"));
  return Finish(std::move(node));
}

Result ExpressionParser::DictLiteral() {
  Expr node = Start(ExprKind::kDict);
  cursor_.Take();
  while (!cursor_.AtOperator("}")) {
    QUIRE_ASSIGN_OR_RETURN(ExprPtr key, Conditional());
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, ":"));
    QUIRE_ASSIGN_OR_RETURN(ExprPtr value, Conditional());
    node.operands.push_back(std::move(key));
    node.operands.push_back(std::move(value));
    if (!cursor_.SkipOperator(",")) break;
  }
  QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "}"));
  return Finish(std::move(node));
}

Result ExpressionParser::Postfix(ExprPtr node) {
  while (true) {
    if (cursor_.AtOperator(".")) {
      Expr attribute = Start(ExprKind::kAttribute);
      cursor_.Take();
      if (cursor_.Current().kind == TokenKind::kInteger) {  // a.0 is a[0]
        QUIRE_ASSIGN_OR_RETURN(ExprPtr index, Number());
        Expr item = Start(ExprKind::kItem);
        item.operands.push_back(std::move(node));
        item.operands.push_back(std::move(index));
        QUIRE_ASSIGN_OR_RETURN(node, Finish(std::move(item)));
        continue;
      }
      QUIRE_ASSIGN_OR_RETURN(attribute.name, cursor_.ExpectName());
      attribute.operands.push_back(std::move(node));
      QUIRE_ASSIGN_OR_RETURN(node, Finish(std::move(attribute)));
    } else if (cursor_.AtOperator("[")) {
      QUIRE_ASSIGN_OR_RETURN(node, Subscript(std::move(node)));
    } else if (cursor_.AtOperator("(")) {
      Expr call = Start(ExprKind::kCall);
      call.operands.push_back(std::move(node));
      QUIRE_RETURN_IF_ERROR(Arguments(call));
      QUIRE_ASSIGN_OR_RETURN(node, Finish(std::move(call)));
    } else {
      return node;
    }
  }
}

Result ExpressionParser::Subscript(ExprPtr node) {
  Expr item = Start(ExprKind::kItem);
  cursor_.Take();
  item.operands.push_back(std::move(node));
  bool is_slice = false;
  while (true) {
    if (!cursor_.AtOperator(":") && !cursor_.AtOperator("]")) {
      QUIRE_ASSIGN_OR_RETURN(ExprPtr bound, Conditional());
      item.operands.push_back(std::move(bound));
    } else {
      item.operands.push_back(nullptr);
    }
    if (item.operands.size() == 4 || !cursor_.SkipOperator(":")) break;
    is_slice = true;
  }
  QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "]"));
  if (!is_slice && item.operands[1] == nullptr) return cursor_.Error("a subscript is empty");
  if (is_slice) {
    item.kind = ExprKind::kSlice;
    item.operands.resize(4);
  }
  return Finish(std::move(item));
}

absl::Status ExpressionParser::Argument(Expr& call) {
  const Token& token = cursor_.Current();
  if (token.kind == TokenKind::kOperator && (token.text == "*" || token.text == "**")) {
    const bool named = cursor_.Take().text == "**";
    Expr star = Start(ExprKind::kStar);
    QUIRE_ASSIGN_OR_RETURN(ExprPtr value, Conditional());
    if (named) {
      call.keywords.push_back({"", std::move(value)});
      return absl::OkStatus();
    }
    star.operands.push_back(std::move(value));
    QUIRE_ASSIGN_OR_RETURN(ExprPtr node, Finish(std::move(star)));
    call.operands.push_back(std::move(node));
    return absl::OkStatus();
  }
  if (token.kind == TokenKind::kName && cursor_.Next().kind == TokenKind::kOperator &&
      cursor_.Next().text == "=") {
    std::string name = cursor_.Take().text;
    cursor_.Take();
    QUIRE_ASSIGN_OR_RETURN(ExprPtr value, Conditional());
    call.keywords.push_back({std::move(name), std::move(value)});
    return absl::OkStatus();
  }
  if (!call.keywords.empty()) return cursor_.Error("a positional argument stands after a keyword");
  QUIRE_ASSIGN_OR_RETURN(ExprPtr value, Conditional());
  call.operands.push_back(std::move(value));
  return absl::OkStatus();
}

absl::Status ExpressionParser::Arguments(Expr& call) {
  QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "("));
  while (!cursor_.AtOperator(")")) {
    QUIRE_RETURN_IF_ERROR(Argument(call));
    if (!cursor_.SkipOperator(",")) break;
  }
  return cursor_.Expect(TokenKind::kOperator, ")");
}

Result ExpressionParser::Filters(ExprPtr node) {
  while (true) {
    if (cursor_.SkipOperator("|")) {
      QUIRE_ASSIGN_OR_RETURN(node, Filter(std::move(node)));
    } else if (cursor_.AtName("is")) {
      QUIRE_ASSIGN_OR_RETURN(node, Test(std::move(node)));
    } else if (cursor_.AtOperator("(")) {
      QUIRE_ASSIGN_OR_RETURN(node, Postfix(std::move(node)));
    } else {
      return node;
    }
  }
}

Result ExpressionParser::Filter(ExprPtr node) {
  Expr filter = Start(ExprKind::kFilter);
  QUIRE_ASSIGN_OR_RETURN(filter.name, cursor_.ExpectName());
  filter.operands.push_back(std::move(node));
  if (cursor_.AtOperator("(")) {
    QUIRE_RETURN_IF_ERROR(Arguments(filter));
  }
  return Finish(std::move(filter));
}

absl::StatusOr<std::vector<ExprPtr>> ExpressionParser::ParseFilters(bool after_bar) {
  std::vector<ExprPtr> filters;
  while (cursor_.SkipOperator("|") || (!after_bar && filters.empty())) {
    QUIRE_ASSIGN_OR_RETURN(ExprPtr filter, Filter(nullptr));
    filters.push_back(std::move(filter));
  }
  return filters;
}

Result ExpressionParser::Test(ExprPtr node) {
  Expr test = Start(ExprKind::kTest);
  Expr negation = Start(ExprKind::kNot);
  cursor_.Take();
  const bool negated = cursor_.SkipName("not");
  QUIRE_ASSIGN_OR_RETURN(test.name, cursor_.ExpectName());
  test.operands.push_back(std::move(node));
  const TokenKind kind = cursor_.Current().kind;
  const std::string& text = cursor_.Current().text;
  const bool starts_argument = kind == TokenKind::kString || kind == TokenKind::kInteger ||
                               kind == TokenKind::kFloat ||
                               (kind == TokenKind::kOperator && (text == "[" || text == "{")) ||
                               (kind == TokenKind::kName && text != "else" && text != "or" && text != "and" &&
                                text != "if" && text != "is" && text != "in" && text != "not");
  if (cursor_.AtOperator("(")) {
    QUIRE_RETURN_IF_ERROR(Arguments(test));
  } else if (starts_argument) {
    QUIRE_ASSIGN_OR_RETURN(ExprPtr argument, Primary());
    QUIRE_ASSIGN_OR_RETURN(argument, Postfix(std::move(argument)));
    test.operands.push_back(std::move(argument));
  }
  QUIRE_ASSIGN_OR_RETURN(ExprPtr result, Finish(std::move(test)));
  if (!negated) return result;
  negation.operands.push_back(std::move(result));
  return Finish(std::move(negation));
}

}  // namespace quire::gateway::jinja
