// Walks a parsed chat template and writes its text. Made for one render, on one thread; the template must
// outlive it. Always: a render ends within kMaxSteps steps and kMaxOutputBytes bytes, nested no deeper than
// kMaxCallDepth, whatever the template and the values are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "gateway/text/jinja/ast.h"
#include "gateway/text/jinja/builtins.h"

namespace quire::gateway::jinja {

inline constexpr size_t kMaxOutputBytes = 64 << 20;
inline constexpr int kMaxCallDepth = 500;

class Interpreter {
 public:
  Interpreter(Scope globals, int64_t unix_seconds) : unix_seconds_(unix_seconds) {
    scopes_.push_back(std::move(globals));
  }

  absl::StatusOr<OriginText> Run(const Body& body);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using Result = absl::StatusOr<Value>;

  // Statements: interpreter.cc.
  absl::StatusOr<Flow> Execute(const Body& body);
  absl::StatusOr<Flow> Execute(const Statement& statement);
  absl::Status ExecuteSimple(const Statement& statement);
  absl::StatusOr<Flow> If(const Statement& statement);
  absl::StatusOr<Flow> For(const Statement& statement);
  // Runs the body for each item of `loop`, or the else where there is none.
  absl::StatusOr<Flow> RunLoop(const Statement& statement, const LoopRef& loop);
  // The items to loop over: those of the iterable that pass the loop's own condition.
  absl::StatusOr<std::vector<Value>> LoopItems(const Statement& statement, const Value& iterable);
  absl::Status Output(const Statement& statement);
  absl::Status Set(const Statement& statement);
  absl::StatusOr<Flow> With(const Statement& statement);
  // Gives a target its value in the innermost scope; several unpack a sequence.
  absl::Status Bind(const Target& target, const Value& value, int line);
  absl::Status BindAttribute(const Target& target, const Value& value, int line);
  // What a body prints, instead of printing it.
  absl::StatusOr<OriginText> Capture(const Body& body);
  // The same through the statement's filters.
  Result CaptureFiltered(const Statement& statement);

  // Macros and calls: macros.cc.
  absl::StatusOr<MacroRef> MakeMacro(const Statement& statement);
  Result CallMacro(const MacroRef& macro, const Arguments& arguments);
  absl::StatusOr<Scope> MacroScope(const MacroRef& macro, const Arguments& arguments);
  absl::Status FillParameters(const Statement& macro, const Arguments& arguments);
  absl::Status CallBlock(const Statement& statement);
  Result CallLoop(const LoopRef& loop, const Arguments& arguments);
  Result CallValue(const Value& function, const std::string& name, const Arguments& arguments, int line);

  // Expressions: evaluate.cc.
  Result Evaluate(const Expr& expr);
  Result EvaluateKind(const Expr& expr);
  Result EvaluateOptional(const ExprPtr& expr);  // None where there is no expression
  Result Name(const Expr& expr);
  Result Member(const Expr& expr);  // object.name and object[key]
  Result ListOf(const Expr& expr, ListKind kind);
  Result Dict(const Expr& expr);
  Result Slice(const Expr& expr);
  Result Call(const Expr& expr);
  Result Logic(const Expr& expr);
  Result Compare(const Expr& expr);
  Result Conditional(const Expr& expr);
  Result Binary(const Expr& expr);
  Result Filter(const Expr& expr, const Value& input);
  Result Test(const Expr& expr);
  absl::StatusOr<Arguments> EvaluateArguments(const Expr& expr);

  absl::Status Spend(int64_t steps, int line);
  absl::Status SpendBytes(size_t bytes, int line);
  absl::Status Print(const OriginText& text, int line);

  std::vector<Scope> scopes_;  // innermost last
  OriginText output_;
  Meter meter_;
  int depth_ = 0;
  const int64_t unix_seconds_;
};

}  // namespace quire::gateway::jinja
