// A parsed chat template: a tree that owns its nodes. Immutable after parsing, so any thread may render it.
// Always: expressions and blocks nest no deeper than kMaxNodeDepth, so that walking (and freeing) the tree
// can't exhaust a stack.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/text/jinja/operator.h"
#include "gateway/text/jinja/value.h"

namespace quire::gateway::jinja {

inline constexpr int kMaxNodeDepth = 200;

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

enum class ExprKind {
  kLiteral,      // literal
  kName,         // name
  kList,         // operands
  kTuple,        // operands
  kDict,         // operands: key, value, key, value, ...
  kAttribute,    // operands[0].name
  kItem,         // operands[0][operands[1]]
  kSlice,        // operands[0][operands[1]:operands[2]:operands[3]], absent ones null
  kCall,         // operands[0](operands[1...], keywords)
  kFilter,       // operands[0] | name(operands[1...], keywords); operands[0] is null in a chain of filters
  kTest,         // operands[0] is name(operands[1...])
  kStar,         // *operands[0], among the arguments of a call
  kNot,          // operands[0]
  kNegate,       // operands[0]
  kAnd,          // operands[0], operands[1]
  kOr,           // operands[0], operands[1]
  kBinary,       // operands[0] binary operands[1]
  kCompare,      // operands[0] comparisons[0] operands[1] comparisons[1] operands[2] ...
  kConditional,  // operands[0] if operands[1] else operands[2] (may be null)
};

struct Keyword {
  std::string name;  // empty for **value
  ExprPtr value;
};

struct Expr {
  Expr(ExprKind kind, int line) : kind(kind), line(line) {}

  ExprKind kind;
  int line;
  int depth = 1;  // of the tree below and with this node
  std::string name;
  Value literal;
  std::vector<ExprPtr> operands;
  std::vector<Keyword> keywords;
  BinaryOperator binary = {};
  std::vector<Comparison> comparisons;
};

struct Statement;
using Body = std::vector<std::unique_ptr<const Statement>>;

enum class StatementKind {
  kText,         // text
  kOutput,       // expr
  kIf,           // branches; the last one's condition is null for else
  kFor,          // for target in expr if condition: branches[0], else branches[1]
  kSet,          // target = expr
  kSetBlock,     // target = what branches[0] prints, through filters
  kMacro,        // name, parameters, branches[0]
  kCallBlock,    // expr, a call, which gets the macro caller(parameters): branches[0]
  kFilterBlock,  // what branches[0] prints, through filters
  kWith,         // branches[0] with parameters
  kGeneration,   // branches[0], printed as it is, with a scope of its own
  kBreak,
  kContinue,
};

struct Branch {
  ExprPtr condition;
  Body body;
};

struct Parameter {
  std::string name;
  ExprPtr default_value;  // may be null
};

// What a for or set gives a value: a name, a namespace's attribute, or several that unpack a sequence.
struct Target {
  std::string name;
  std::string attribute;
  std::vector<Target> parts;
};

struct Statement {
  Statement(StatementKind kind, int line) : kind(kind), line(line) {}

  StatementKind kind;
  int line;
  Value text;
  ExprPtr expr;
  ExprPtr condition;
  Target target;
  std::vector<ExprPtr> filters;
  std::string name;
  std::vector<Parameter> parameters;
  std::vector<Branch> branches;
  bool recursive = false;  // a for that loop(...) may run again
  // Which of these names a macro's body uses: it takes what its parameters don't, as Jinja has it.
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

}  // namespace quire::gateway::jinja
