// The operators between two values: decided once, by the parser, so that a render compares no spellings.
// Plain values, any thread.
#pragma once

namespace quire::gateway::jinja {

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower, kConcat };

enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kIn,
  kNotIn,
};

}  // namespace quire::gateway::jinja
