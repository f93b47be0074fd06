// Calls of a render: macros, call blocks, recursive loops, functions.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/lexer.h"

namespace quire::gateway::jinja {

using Result = absl::StatusOr<Value>;

absl::StatusOr<MacroRef> Interpreter::MakeMacro(const Statement& statement) {
  auto macro = std::make_shared<Macro>();
  macro->statement = &statement;
  for (size_t i = 1; i < scopes_.size(); ++i) {
    QUIRE_RETURN_IF_ERROR(Spend(static_cast<int64_t>(scopes_[i].size()) + 1, statement.line));
    macro->captured.push_back(scopes_[i]);
  }
  return MacroRef(std::move(macro));
}

// Binds what was given in the innermost scope, then the defaults, which may use what stands before them.
absl::Status Interpreter::FillParameters(const Statement& macro, const Arguments& arguments) {
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    Value value = Value::UndefinedNamed(parameter.name);
    if (const Value* given = arguments.Get(i, parameter.name)) {
      value = *given;
    } else if (parameter.default_value != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(value, Evaluate(*parameter.default_value));
    }
    scopes_.back()[parameter.name] = std::move(value);
  }
  return absl::OkStatus();
}

// varargs, kwargs and caller: what the parameters leave, if the body asks for it.
absl::StatusOr<Scope> Interpreter::MacroScope(const MacroRef& macro, const Arguments& arguments) {
  const Statement& statement = *macro->statement;
  Scope scope;
  if (!macro->captured.empty()) scope[statement.name] = Value(macro);
  const size_t count = statement.parameters.size();
  std::vector<Value> more;
  if (arguments.positional.size() > count)
    more.assign(arguments.positional.begin() + count, arguments.positional.end());
  Value::Entries named;
  for (const auto& [name, value] : arguments.named) {
    const auto parameter =
        std::find_if(statement.parameters.begin(), statement.parameters.end(),
                     [&name = name](const Parameter& candidate) { return candidate.name == name; });
    const auto place = static_cast<size_t>(parameter - statement.parameters.begin());
    if (place < std::min(count, arguments.positional.size())) {
      return TemplateError(statement.line, absl::StrCat(statement.name, ": '", name, "' is given twice"));
    }
    if (place < count) continue;
    if (name == "caller" && statement.uses_caller) {
      scope["caller"] = value;
    } else {
      named.emplace_back(Value::TemplateText(name), value);
    }
  }
  if ((!more.empty() && !statement.uses_varargs) || (!named.empty() && !statement.uses_kwargs)) {
    return TemplateError(statement.line, absl::StrCat(statement.name, ": too many or unknown arguments"));
  }
  if (statement.uses_varargs) {
    QUIRE_ASSIGN_OR_RETURN(scope["varargs"], Value::MakeList(std::move(more), ListKind::kTuple));
  }
  if (statement.uses_kwargs) {
    QUIRE_ASSIGN_OR_RETURN(scope["kwargs"], Value::MakeMap(std::move(named)));
  }
  if (statement.uses_caller) scope.try_emplace("caller", Value::UndefinedNamed("caller"));
  return scope;
}

Result Interpreter::CallMacro(const MacroRef& macro, const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(Scope scope, MacroScope(macro, arguments));
  std::vector<Scope> callers(std::make_move_iterator(scopes_.begin() + 1),
                             std::make_move_iterator(scopes_.end()));
  scopes_.resize(1);
  scopes_.insert(scopes_.end(), macro->captured.begin(), macro->captured.end());
  scopes_.push_back(std::move(scope));
  QUIRE_RETURN_IF_ERROR(Spend(static_cast<int64_t>(scopes_.size()), macro->statement->line));
  QUIRE_RETURN_IF_ERROR(FillParameters(*macro->statement, arguments));
  QUIRE_ASSIGN_OR_RETURN(OriginText text, Capture(macro->statement->branches[0].body));
  scopes_.resize(1);
  std::move(callers.begin(), callers.end(), std::back_inserter(scopes_));
  return Value(std::move(text));
}

absl::Status Interpreter::CallBlock(const Statement& statement) {
  QUIRE_ASSIGN_OR_RETURN(MacroRef caller, MakeMacro(statement));
  const Expr& call = *statement.expr;
  QUIRE_ASSIGN_OR_RETURN(const Value function, Evaluate(*call.operands[0]));
  QUIRE_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(call));
  arguments.named.emplace_back("caller", Value(std::move(caller)));
  QUIRE_ASSIGN_OR_RETURN(const Value value,
                         CallValue(function, call.operands[0]->name, arguments, statement.line));
  return Print(jinja::Print(value), statement.line);
}

// loop(items) of a recursive for: its body again, seen from where the for stands.
Result Interpreter::CallLoop(const LoopRef& outer, const Arguments& arguments) {
  if (outer->recursive == nullptr || arguments.positional.size() != 1) {
    return absl::InvalidArgumentError("loop(...) needs a recursive for and one argument");
  }
  const Statement& statement = *outer->recursive;
  std::vector<Scope> inner;
  for (size_t i = std::min(outer->outer_scopes, scopes_.size()); i < scopes_.size(); ++i) {
    inner.push_back(std::move(scopes_[i]));
  }
  scopes_.resize(scopes_.size() - inner.size());
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, LoopItems(statement, arguments.positional[0]));
  auto loop = std::make_shared<Loop>();
  loop->items = std::make_shared<const std::vector<Value>>(std::move(items));
  loop->recursive = &statement;
  loop->depth = outer->depth + 1;
  loop->outer_scopes = outer->outer_scopes;
  OriginText before = std::exchange(output_, OriginText());
  QUIRE_RETURN_IF_ERROR(RunLoop(statement, loop).status());
  OriginText text = std::exchange(output_, std::move(before));
  std::move(inner.begin(), inner.end(), std::back_inserter(scopes_));
  return Value(std::move(text));
}

Result Interpreter::CallValue(const Value& function, const std::string& name, const Arguments& arguments,
                              int line) {
  if (const auto* macro = function.As<MacroRef>()) return CallMacro(*macro, arguments);
  if (const auto* loop = function.As<LoopRef>()) return CallLoop(*loop, arguments);
  if (const auto* method = function.As<MethodRef>()) {
    return AtLine(CallMethod((*method)->object, (*method)->name, arguments, meter_), line);
  }
  const auto* builtin = function.As<Function>();
  if (builtin == nullptr) {
    return TemplateError(line, absl::StrCat("'", name, "' (", function.KindName(), ") can't be called"));
  }
  if (builtin->name == "raise_exception") {  // the template's own words for the client
    const Value* message = arguments.Get(0, "message");
    return absl::InvalidArgumentError(message == nullptr ? "" : jinja::Print(*message).text());
  }
  return AtLine(CallFunction(builtin->name, arguments, unix_seconds_, meter_), line);
}

}  // namespace quire::gateway::jinja
