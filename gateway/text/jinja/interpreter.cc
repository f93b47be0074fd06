#include "gateway/text/jinja/interpreter.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/lexer.h"

namespace quire::gateway::jinja {
namespace {

constexpr int64_t kStepsPerIteration = 20;  // a scope is made

}  // namespace

absl::StatusOr<OriginText> Interpreter::Run(const Body& body) {
  QUIRE_RETURN_IF_ERROR(Execute(body).status());
  return std::move(output_);
}

absl::Status Interpreter::Spend(int64_t steps, int line) {
  const absl::Status status = meter_.Spend(steps);
  return status.ok() ? status : TemplateError(line, MessageOf(status));
}

absl::Status Interpreter::SpendBytes(size_t bytes, int line) {
  return Spend(static_cast<int64_t>(bytes / kBytesPerStep), line);
}

absl::Status Interpreter::Print(const OriginText& text, int line) {
  QUIRE_RETURN_IF_ERROR(SpendBytes(text.size(), line));
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
    case StatementKind::kIf:
      return If(statement);
    case StatementKind::kFor:
      return For(statement);
    case StatementKind::kWith:
    case StatementKind::kGeneration:
      return With(statement);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
    default:
      QUIRE_RETURN_IF_ERROR(ExecuteSimple(statement));
      return Flow::kNext;
  }
}

// Those that have no influence on the flow.
absl::Status Interpreter::ExecuteSimple(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kText:
      return Print(*statement.text.AsText(), statement.line);
    case StatementKind::kOutput:
      return Output(statement);
    case StatementKind::kSet:
    case StatementKind::kSetBlock:
      return Set(statement);
    case StatementKind::kMacro: {
      QUIRE_ASSIGN_OR_RETURN(MacroRef macro, MakeMacro(statement));
      scopes_.back()[statement.name] = Value(std::move(macro));
      return absl::OkStatus();
    }
    case StatementKind::kCallBlock:
      return CallBlock(statement);
    case StatementKind::kFilterBlock: {
      QUIRE_ASSIGN_OR_RETURN(const Value value, CaptureFiltered(statement));
      return Print(jinja::Print(value), statement.line);
    }
    default:
      return absl::OkStatus();
  }
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

absl::StatusOr<std::vector<Value>> Interpreter::LoopItems(const Statement& statement, const Value& iterable) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, AtLine(Iterate(iterable, meter_), statement.line));
  if (statement.condition == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    QUIRE_RETURN_IF_ERROR(Spend(kStepsPerIteration, statement.line));
    scopes_.emplace_back();
    QUIRE_RETURN_IF_ERROR(Bind(statement.target, item, statement.line));
    QUIRE_ASSIGN_OR_RETURN(const Value keep, Evaluate(*statement.condition));
    scopes_.pop_back();
    if (keep.Truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

absl::StatusOr<Interpreter::Flow> Interpreter::RunLoop(const Statement& statement, const LoopRef& loop) {
  for (size_t index = 0; index < loop->items->size(); ++index) {
    QUIRE_RETURN_IF_ERROR(Spend(kStepsPerIteration, statement.line));
    loop->index = index;
    scopes_.emplace_back();
    scopes_.back()["loop"] = Value(loop);
    QUIRE_RETURN_IF_ERROR(Bind(statement.target, (*loop->items)[index], statement.line));
    QUIRE_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.branches[0].body));
    scopes_.pop_back();
    if (flow == Flow::kBreak) break;
  }
  if (loop->items->empty() && statement.branches.size() > 1) return Execute(statement.branches[1].body);
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::For(const Statement& statement) {
  QUIRE_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.expr));
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, LoopItems(statement, iterable));
  auto loop = std::make_shared<Loop>();
  loop->items = std::make_shared<const std::vector<Value>>(std::move(items));
  if (statement.recursive) loop->recursive = &statement;
  loop->outer_scopes = scopes_.size();
  return RunLoop(statement, loop);
}

absl::StatusOr<Interpreter::Flow> Interpreter::With(const Statement& statement) {
  Scope scope;
  for (const Parameter& variable : statement.parameters) {
    QUIRE_ASSIGN_OR_RETURN(scope[variable.name], Evaluate(*variable.default_value));
  }
  scopes_.push_back(std::move(scope));
  QUIRE_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.branches[0].body));
  scopes_.pop_back();
  return flow;
}

absl::Status Interpreter::Set(const Statement& statement) {
  const bool is_block = statement.kind == StatementKind::kSetBlock;
  QUIRE_ASSIGN_OR_RETURN(const Value value,
                         is_block ? CaptureFiltered(statement) : Evaluate(*statement.expr));
  return Bind(statement.target, value, statement.line);
}

absl::Status Interpreter::Bind(const Target& target, const Value& value, int line) {
  if (!target.attribute.empty()) return BindAttribute(target, value, line);
  if (target.parts.empty()) {
    scopes_.back()[target.name] = value;
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, AtLine(Iterate(value, meter_), line));
  if (items.size() != target.parts.size()) {
    return TemplateError(
        line, absl::StrCat("expected ", target.parts.size(), " values to unpack, not ", items.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) QUIRE_RETURN_IF_ERROR(Bind(target.parts[i], items[i], line));
  return absl::OkStatus();
}

absl::Status Interpreter::BindAttribute(const Target& target, const Value& value, int line) {
  for (size_t i = scopes_.size(); i-- > 0;) {
    const auto found = scopes_[i].find(target.name);
    if (found == scopes_[i].end()) continue;
    const NamespaceRef* space = found->second.As<NamespaceRef>();
    if (space == nullptr || value.MayHoldScope() || target.attribute.starts_with('_')) break;
    (*space)->values[target.attribute] = value;
    return absl::OkStatus();
  }
  return TemplateError(line, absl::StrCat("'", target.name, ".", target.attribute,
                                          "' can't be set: only a namespace has attributes to set, none that "
                                          "starts with '_', and it can't hold another namespace or a loop"));
}

absl::StatusOr<OriginText> Interpreter::Capture(const Body& body) {
  OriginText outer = std::exchange(output_, OriginText());
  const absl::StatusOr<Flow> flow = Execute(body);
  OriginText captured = std::exchange(output_, std::move(outer));
  QUIRE_RETURN_IF_ERROR(flow.status());
  return captured;
}

absl::StatusOr<Value> Interpreter::CaptureFiltered(const Statement& statement) {
  // A filter block has a scope of its own, a set block has not.
  const bool scoped = statement.kind == StatementKind::kFilterBlock;
  if (scoped) scopes_.emplace_back();
  QUIRE_ASSIGN_OR_RETURN(OriginText text, Capture(statement.branches[0].body));
  Value value(std::move(text));
  for (const ExprPtr& filter : statement.filters) {
    QUIRE_ASSIGN_OR_RETURN(value, Filter(*filter, value));
  }
  if (scoped) scopes_.pop_back();
  return value;
}

}  // namespace quire::gateway::jinja
