// The expressions of a render.
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/lexer.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr size_t kScopesPerStep = 8;

}  // namespace

Result Interpreter::Evaluate(const Expr& expr) {
  QUIRE_RETURN_IF_ERROR(Spend(1, expr.line));
  if (++depth_ > kMaxCallDepth) return TemplateError(expr.line, "calls are nested too deeply");
  Result value = EvaluateKind(expr);
  --depth_;
  const bool makes_text = expr.kind == ExprKind::kBinary || expr.kind == ExprKind::kCall ||
                          expr.kind == ExprKind::kFilter || expr.kind == ExprKind::kSlice ||
                          expr.kind == ExprKind::kCompare;
  if (value.ok() && makes_text) {
    QUIRE_RETURN_IF_ERROR(SpendBytes(value->weight(), expr.line));
  }
  return value;
}

Result Interpreter::EvaluateKind(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return expr.literal;
    case ExprKind::kName:
      return Name(expr);
    case ExprKind::kList:
      return ListOf(expr, ListKind::kList);
    case ExprKind::kTuple:
      return ListOf(expr, ListKind::kTuple);
    case ExprKind::kDict:
      return Dict(expr);
    case ExprKind::kAttribute:
    case ExprKind::kItem:
      return Member(expr);
    case ExprKind::kSlice:
      return Slice(expr);
    case ExprKind::kCall:
      return Call(expr);
    case ExprKind::kFilter: {
      QUIRE_ASSIGN_OR_RETURN(const Value input, Evaluate(*expr.operands[0]));
      return Filter(expr, input);
    }
    case ExprKind::kTest:
      return Test(expr);
    case ExprKind::kNot:
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return Logic(expr);
    case ExprKind::kNegate: {
      QUIRE_ASSIGN_OR_RETURN(const Value value, Evaluate(*expr.operands[0]));
      if (const double* number = value.As<double>()) return Value(-*number);  // 0 - 0.0 has another sign
      return AtLine(Arithmetic(BinaryOperator::kSubtract, Value(int64_t{0}), value, meter_), expr.line);
    }
    case ExprKind::kBinary:
      return Binary(expr);
    case ExprKind::kCompare:
      return Compare(expr);
    case ExprKind::kConditional:
      return Conditional(expr);
    case ExprKind::kStar:
      return TemplateError(expr.line, "* stands outside of a call");
  }
  return Value();
}

Result Interpreter::EvaluateOptional(const ExprPtr& expr) {
  return expr == nullptr ? Result(Value(None{})) : Evaluate(*expr);
}

Result Interpreter::Name(const Expr& expr) {
  for (size_t i = scopes_.size(); i-- > 0;) {
    if (i % kScopesPerStep == 0) QUIRE_RETURN_IF_ERROR(Spend(1, expr.line));
    const auto found = scopes_[i].find(expr.name);
    if (found != scopes_[i].end()) return found->second;
  }
  if (IsFunction(expr.name)) return Value(Function{expr.name});
  return Value::UndefinedNamed(expr.name);
}

Result Interpreter::Member(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.operands[0]));
  if (expr.kind == ExprKind::kAttribute) return AtLine(GetAttribute(object, expr.name), expr.line);
  QUIRE_ASSIGN_OR_RETURN(const Value key, Evaluate(*expr.operands[1]));
  return AtLine(GetItem(object, key, meter_), expr.line);
}

Result Interpreter::ListOf(const Expr& expr, ListKind kind) {
  std::vector<Value> items;
  for (const ExprPtr& operand : expr.operands) {
    QUIRE_ASSIGN_OR_RETURN(Value item, Evaluate(*operand));
    items.push_back(std::move(item));
  }
  return AtLine(Value::MakeList(std::move(items), kind), expr.line);
}

Result Interpreter::Dict(const Expr& expr) {
  Value::Entries entries;
  for (size_t i = 0; i + 1 < expr.operands.size(); i += 2) {
    QUIRE_ASSIGN_OR_RETURN(Value key, Evaluate(*expr.operands[i]));
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*expr.operands[i + 1]));
    QUIRE_RETURN_IF_ERROR(SpendBytes(key.weight(), expr.line));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return AtLine(Value::MakeMap(std::move(entries)), expr.line);
}

Result Interpreter::Slice(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.operands[0]));
  std::optional<int64_t> bounds[3];
  for (int i = 0; i < 3; ++i) {
    QUIRE_ASSIGN_OR_RETURN(const Value bound, EvaluateOptional(expr.operands[i + 1]));
    if (!bound.IsInteger() && !bound.Is<None>()) return TemplateError(expr.line, "a slice needs integers");
    if (bound.IsInteger()) bounds[i] = bound.Integer();
  }
  const int64_t step = bounds[2].value_or(1);
  if (step == 0) return TemplateError(expr.line, "a slice's step is 0");
  const List* list = object.AsList();
  if (list != nullptr && list->kind > ListKind::kGroup) list = nullptr;
  if (list == nullptr && object.AsText() == nullptr) {
    return TemplateError(expr.line, absl::StrCat(object.KindName(), " can't be sliced"));
  }
  if (const OriginText* text = object.AsText()) {
    QUIRE_RETURN_IF_ERROR(SpendBytes(text->size(), expr.line));  // characters are counted from the start
    OriginText part = SliceText(*text, bounds[0], bounds[1], step);
    return object.Is<Markup>() ? Value::MarkupText(std::move(part)) : Value(std::move(part));
  }
  const auto range = ResolveSlice(static_cast<int64_t>(list->items.size()), bounds[0], bounds[1], step);
  std::vector<Value> items;
  for (int64_t at = range.from; range.Before(at); at += range.step) items.push_back(list->items[at]);
  return AtLine(Value::MakeList(std::move(items), list->IsTuple() ? ListKind::kTuple : ListKind::kList),
                expr.line);
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.operands.size(); ++i) {
    const Expr& operand = *expr.operands[i];
    const bool is_star = operand.kind == ExprKind::kStar;
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(is_star ? *operand.operands[0] : operand));
    if (!is_star) {
      arguments.positional.push_back(std::move(value));
      continue;
    }
    QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, AtLine(Iterate(value, meter_), expr.line));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  for (const Keyword& keyword : expr.keywords) {
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*keyword.value));
    if (!keyword.name.empty()) {
      arguments.named.emplace_back(keyword.name, std::move(value));
      continue;
    }
    if (value.AsMap() == nullptr) return TemplateError(expr.line, "** needs a mapping");
    QUIRE_RETURN_IF_ERROR(SpendBytes(value.weight(), expr.line));
    for (const auto& [name, item] : value.AsMap()->entries) {
      if (name.AsText() == nullptr) return TemplateError(expr.line, "** needs a mapping of names");
      arguments.named.emplace_back(name.AsText()->text(), item);
    }
  }
  return arguments;
}

Result Interpreter::Call(const Expr& expr) {
  const Expr& callee = *expr.operands[0];
  if (callee.kind != ExprKind::kAttribute) {
    QUIRE_ASSIGN_OR_RETURN(const Value function, Evaluate(callee));
    QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
    return CallValue(function, callee.name, arguments, expr.line);
  }
  QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*callee.operands[0]));
  QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
  if (HasMethod(object, callee.name)) {
    return AtLine(CallMethod(object, callee.name, arguments, meter_), expr.line);
  }
  QUIRE_ASSIGN_OR_RETURN(const Value function, AtLine(GetAttribute(object, callee.name), expr.line));
  return CallValue(function, callee.name, arguments, expr.line);
}

Result Interpreter::Logic(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.operands[0]));
  if (expr.kind == ExprKind::kNot) return Value(!left.Truthy());
  // As in Python, the value that decides is the result.
  if (left.Truthy() == (expr.kind == ExprKind::kOr)) return left;
  return Evaluate(*expr.operands[1]);
}

Result Interpreter::Compare(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.operands[0]));
  for (size_t i = 0; i < expr.comparisons.size(); ++i) {
    QUIRE_ASSIGN_OR_RETURN(Value right, Evaluate(*expr.operands[i + 1]));
    QUIRE_RETURN_IF_ERROR(SpendBytes(left.weight() + right.weight(), expr.line));
    QUIRE_ASSIGN_OR_RETURN(const bool holds,
                           AtLine(CompareValues(expr.comparisons[i], left, right, meter_), expr.line));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result Interpreter::Conditional(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expr.operands[1]));
  if (condition.Truthy()) return Evaluate(*expr.operands[0]);
  if (expr.operands[2] == nullptr) return Value::UndefinedNamed("the value of an if without else");
  return Evaluate(*expr.operands[2]);
}

Result Interpreter::Binary(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value left, Evaluate(*expr.operands[0]));
  QUIRE_ASSIGN_OR_RETURN(const Value right, Evaluate(*expr.operands[1]));
  QUIRE_RETURN_IF_ERROR(SpendBytes(left.weight() + right.weight(), expr.line));
  return AtLine(Arithmetic(expr.binary, left, right, meter_), expr.line);
}

Result Interpreter::Filter(const Expr& expr, const Value& input) {
  QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
  return AtLine(ApplyFilter(expr.name, input, arguments, meter_), expr.line);
}

Result Interpreter::Test(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value input, Evaluate(*expr.operands[0]));
  QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
  QUIRE_ASSIGN_OR_RETURN(const bool holds, AtLine(ApplyTest(expr.name, input, arguments, meter_), expr.line));
  return Value(holds);
}

}  // namespace quire::gateway::jinja
