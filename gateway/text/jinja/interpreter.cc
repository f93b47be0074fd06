#include "gateway/text/jinja/interpreter.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/lexer.h"

namespace quire::gateway::jinja {
namespace {

constexpr int64_t kStepsPerIteration = 20;  // a scope and a loop variable are made

// Gives an error of a value operation its line.
template <typename T>
absl::StatusOr<T> AtLine(absl::StatusOr<T> result, int line) {
  if (result.ok()) return result;
  return TemplateError(line, MessageOf(result.status()));
}

absl::StatusOr<Value> LoopVariable(const std::vector<Value>& items, size_t index) {
  const auto count = static_cast<int64_t>(items.size()), at = static_cast<int64_t>(index);
  Value::Entries entries;
  const auto add = [&](std::string_view name, Value value) {
    entries.emplace_back(OriginText(std::string(name), Origin::kTemplate), std::move(value));
  };
  add("index", Value(at + 1));
  add("index0", Value(at));
  add("revindex", Value(count - at));
  add("revindex0", Value(count - at - 1));
  add("first", Value(at == 0));
  add("last", Value(at + 1 == count));
  add("length", Value(count));
  add("previtem", at == 0 ? Value::UndefinedNamed("previtem") : items[index - 1]);
  add("nextitem", at + 1 == count ? Value::UndefinedNamed("nextitem") : items[index + 1]);
  return Value::MakeMap(std::move(entries));
}

// Gives the targets of a for or set their values; several targets unpack a list.
absl::Status Bind(const std::vector<std::string>& targets, const Value& value, int line, Scope& scope) {
  if (targets.size() == 1) {
    scope[targets[0]] = value;
    return absl::OkStatus();
  }
  const List* list = value.AsList();
  if (list == nullptr || list->items.size() != targets.size()) {
    return TemplateError(line, absl::StrCat("expected a list of ", targets.size(), " values to unpack"));
  }
  for (size_t i = 0; i < targets.size(); ++i) scope[targets[i]] = list->items[i];
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OriginText> Interpreter::Run(const Body& body) {
  QUIRE_RETURN_IF_ERROR(Execute(body).status());
  return std::move(output_);
}

absl::Status Interpreter::Spend(int64_t steps, int line) {
  steps_ += steps;
  if (steps_ <= kMaxSteps) return absl::OkStatus();
  return TemplateError(line, "rendering takes too many steps; shorten the conversation");
}

absl::Status Interpreter::Print(const OriginText& text, int line) {
  QUIRE_RETURN_IF_ERROR(Spend(static_cast<int64_t>(text.size() / kBytesPerStep), line));
  if (output_.size() + text.size() > kMaxOutputBytes) {
    return TemplateError(line, absl::StrCat("the prompt has more than ", kMaxOutputBytes, " bytes"));
  }
  output_.Append(text);
  return absl::OkStatus();
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Body& body) {
  for (const auto& statement : body) {
    QUIRE_RETURN_IF_ERROR(Spend(1, statement->line));
    if (++depth_ > kMaxCallDepth) return TemplateError(statement->line, "calls are nested too deeply");
    QUIRE_ASSIGN_OR_RETURN(const Flow flow, Execute(*statement));
    --depth_;
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kText:
      QUIRE_RETURN_IF_ERROR(Print(*statement.text.AsText(), statement.line));
      return Flow::kNext;
    case StatementKind::kOutput:
      QUIRE_RETURN_IF_ERROR(Output(statement));
      return Flow::kNext;
    case StatementKind::kSet:
    case StatementKind::kSetBlock:
      QUIRE_RETURN_IF_ERROR(Set(statement));
      return Flow::kNext;
    case StatementKind::kMacro:
      scopes_.back()[statement.name] = Value(&statement);
      return Flow::kNext;
    case StatementKind::kIf:
      return If(statement);
    case StatementKind::kFor:
      return For(statement);
    case StatementKind::kGroup:
      return Execute(statement.branches[0].body);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

absl::Status Interpreter::Output(const Statement& statement) {
  QUIRE_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expr));
  return Print(jinja::Print(value), statement.line);
}

absl::StatusOr<Interpreter::Flow> Interpreter::If(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition));
      if (!condition.Truthy()) continue;
    }
    return Execute(branch.body);
  }
  return Flow::kNext;
}

absl::StatusOr<std::vector<Value>> Interpreter::LoopItems(const Statement& statement) {
  QUIRE_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.expr));
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, AtLine(Iterate(iterable), statement.line));
  if (statement.condition == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    scopes_.emplace_back();
    QUIRE_RETURN_IF_ERROR(Bind(statement.targets, item, statement.line, scopes_.back()));
    QUIRE_ASSIGN_OR_RETURN(const Value keep, Evaluate(*statement.condition));
    scopes_.pop_back();
    if (keep.Truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Iteration(const Statement& statement,
                                                         const std::vector<Value>& items, size_t index) {
  Scope scope;
  QUIRE_RETURN_IF_ERROR(Bind(statement.targets, items[index], statement.line, scope));
  QUIRE_ASSIGN_OR_RETURN(scope["loop"], AtLine(LoopVariable(items, index), statement.line));
  scopes_.push_back(std::move(scope));
  absl::StatusOr<Flow> flow = Execute(statement.branches[0].body);
  scopes_.pop_back();
  return flow;
}

absl::StatusOr<Interpreter::Flow> Interpreter::For(const Statement& statement) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, LoopItems(statement));
  for (size_t index = 0; index < items.size(); ++index) {
    QUIRE_RETURN_IF_ERROR(Spend(kStepsPerIteration, statement.line));
    QUIRE_ASSIGN_OR_RETURN(const Flow flow, Iteration(statement, items, index));
    if (flow == Flow::kBreak) break;
  }
  if (items.empty() && statement.branches.size() > 1) return Execute(statement.branches[1].body);
  return Flow::kNext;
}

absl::Status Interpreter::Set(const Statement& statement) {
  if (statement.kind == StatementKind::kSet) {
    QUIRE_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expr));
    return Assign(statement, value);
  }
  QUIRE_ASSIGN_OR_RETURN(OriginText text, Capture(statement.branches[0].body));
  return Assign(statement, Value(std::move(text)));
}

absl::Status Interpreter::Assign(const Statement& statement, const Value& value) {
  if (statement.attribute.empty()) return Bind(statement.targets, value, statement.line, scopes_.back());
  for (size_t i = scopes_.size(); i-- > 0;) {
    const auto found = scopes_[i].find(statement.targets[0]);
    if (found == scopes_[i].end()) continue;
    const NamespaceRef* space = found->second.As<NamespaceRef>();
    if (space == nullptr || value.Is<NamespaceRef>()) break;
    (*space)->values[statement.attribute] = value;
    return absl::OkStatus();
  }
  return TemplateError(statement.line,
                       absl::StrCat("'", statement.targets[0], ".", statement.attribute,
                                    "' can't be set: only a namespace has attributes to set, and "
                                    "it can't hold another namespace"));
}

absl::StatusOr<OriginText> Interpreter::Capture(const Body& body) {
  OriginText outer = std::exchange(output_, OriginText());
  const absl::StatusOr<Flow> flow = Execute(body);
  OriginText captured = std::exchange(output_, std::move(outer));
  QUIRE_RETURN_IF_ERROR(flow.status());
  return captured;
}

absl::StatusOr<Value> Interpreter::CallMacro(const Statement& macro, const Arguments& arguments) {
  Scope scope;
  std::vector<std::string_view> names;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    names.push_back(parameter.name);
    const Value* given = arguments.Get(i, parameter.name);
    if (given != nullptr) {
      scope[parameter.name] = *given;
    } else if (parameter.default_value != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(scope[parameter.name], Evaluate(*parameter.default_value));
    } else {
      scope[parameter.name] = Value::UndefinedNamed(parameter.name);
    }
  }
  QUIRE_RETURN_IF_ERROR(arguments.Check(macro.parameters.size(), names));
  // A macro sees the template's own variables and its parameters, not those of its caller.
  std::vector<Scope> callers(std::make_move_iterator(scopes_.begin() + 1),
                             std::make_move_iterator(scopes_.end()));
  scopes_.resize(1);
  scopes_.push_back(std::move(scope));
  absl::StatusOr<OriginText> text = Capture(macro.branches[0].body);
  scopes_.resize(1);
  std::move(callers.begin(), callers.end(), std::back_inserter(scopes_));
  QUIRE_RETURN_IF_ERROR(text.status());
  return Value(*std::move(text));
}

}  // namespace quire::gateway::jinja
