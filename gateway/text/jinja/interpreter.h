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

inline constexpr int64_t kMaxSteps =
    10'000'000;  // a node is a step, and so are every kBytesPerStep that it makes
inline constexpr size_t kBytesPerStep = 32;
inline constexpr size_t kMaxOutputBytes = 64 << 20;
inline constexpr int kMaxCallDepth = 500;

using Scope = absl::flat_hash_map<std::string, Value>;

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
  absl::StatusOr<Flow> If(const Statement& statement);
  absl::StatusOr<Flow> For(const Statement& statement);
  absl::StatusOr<Flow> Iteration(const Statement& statement, const std::vector<Value>& items, size_t index);
  // The items to loop over: those of the iterable that pass the loop's own condition.
  absl::StatusOr<std::vector<Value>> LoopItems(const Statement& statement);
  absl::Status Output(const Statement& statement);
  absl::Status Set(const Statement& statement);
  absl::Status Assign(const Statement& statement, const Value& value);
  // What a body prints, instead of printing it.
  absl::StatusOr<OriginText> Capture(const Body& body);
  Result CallMacro(const Statement& macro, const Arguments& arguments);

  // Expressions: evaluate.cc.
  Result Evaluate(const Expr& expr);
  Result EvaluateKind(const Expr& expr);
  Result EvaluateOptional(const ExprPtr& expr);  // None where there is no expression
  Result Name(const Expr& expr);
  Result Member(const Expr& expr);  // object.name and object[key]
  Result ListOf(const Expr& expr);
  Result Dict(const Expr& expr);
  Result Slice(const Expr& expr);
  Result Call(const Expr& expr);
  Result Logic(const Expr& expr);
  Result Compare(const Expr& expr);
  Result Conditional(const Expr& expr);
  Result Binary(const Expr& expr);
  Result FilterOrTest(const Expr& expr);
  absl::StatusOr<Arguments> EvaluateArguments(const Expr& expr);

  absl::Status Spend(int64_t steps, int line);
  absl::Status Print(const OriginText& text, int line);

  std::vector<Scope> scopes_;  // innermost last
  OriginText output_;
  int64_t steps_ = 0;
  int depth_ = 0;
  const int64_t unix_seconds_;
};

}  // namespace quire::gateway::jinja
