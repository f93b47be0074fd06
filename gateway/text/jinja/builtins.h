// What templates can call: filters, tests, methods, functions; and what operators do. Pure over values (an
// iterator is used up), on the render's thread; what loops over values pays into the Meter. Always: nothing
// here reads anything but its arguments, and no result is larger than kMaxValueBytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "gateway/text/jinja/meter.h"
#include "gateway/text/jinja/operator.h"
#include "gateway/text/jinja/value.h"

namespace quire::gateway::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at that place or of that name, or null.
  const Value* Get(size_t place, std::string_view name) const;
  // The same, but None counts as absent.
  const Value* GetUnlessNone(size_t place, std::string_view name) const;
  bool Flag(size_t place, std::string_view name, bool otherwise) const;
  // INVALID_ARGUMENT for what is no integer.
  absl::StatusOr<int64_t> Integer(size_t place, std::string_view name, int64_t otherwise) const;
  // INVALID_ARGUMENT if there are more than `most` positional ones, or a named one that is none of `names`.
  absl::Status Check(size_t most, const std::vector<std::string_view>& names) const;
  // Of the positional ones: what a function may look through.
  size_t weight() const;
};

// INVALID_ARGUMENT: what is wrong with the arguments, of the function `name` where its caller doesn't say.
inline absl::Status Wrong(std::string_view problem) {
  return absl::InvalidArgumentError(std::string(problem));
}
inline absl::Status Wrong(const std::string& name, std::string_view problem) {
  return Wrong(name + ": " + std::string(problem));
}

using FilterFunction = absl::StatusOr<Value> (*)(const Value& input, const Arguments& arguments,
                                                 Meter& meter);
using FilterTable = absl::flat_hash_map<std::string, FilterFunction>;
const FilterTable& TextFilters();
const FilterTable& SequenceFilters();
const FilterTable& SelectionFilters();

bool IsFilter(const std::string& name);
absl::StatusOr<Value> ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments,
                                  Meter& meter);
bool IsTest(const std::string& name);
absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value, const Arguments& arguments,
                               Meter& meter);
// Whether `object` has a method that Jinja's sandbox lets templates call (list.append is none).
bool HasMethod(const Value& object, const std::string& name);
absl::StatusOr<Value> CallMethod(const Value& object, const std::string& name, const Arguments& arguments,
                                 Meter& meter);
bool HasTextMethod(const std::string& name);
absl::StatusOr<Value> CallTextMethod(const Value& object, const std::string& name, const Arguments& arguments,
                                     Meter& meter);

bool IsFunction(const std::string& name);
// All but raise_exception, which is the interpreter's. `unix_seconds` is what strftime_now tells, in UTC.
absl::StatusOr<Value> CallFunction(const std::string& name, const Arguments& arguments, int64_t unix_seconds,
                                   Meter& meter);

// The items of a list, keys of a mapping, characters of a string, what is left of an iterator (which is then
// used up), nothing of an undefined value. Each item is a step, and a character is an item.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Meter& meter);
// An error for what Iterate refuses by its type.
absl::Status CheckIterable(const Value& value);
// len(); an error for what has none.
absl::StatusOr<int64_t> Length(const Value& value);
// `item in container`.
absl::StatusOr<bool> Contains(const Value& container, const Value& item, Meter& meter);
// -1, 0 or 1; an error for values that have no order.
absl::StatusOr<int> Order(const Value& a, const Value& b);
absl::StatusOr<bool> CompareValues(Comparison op, const Value& a, const Value& b, Meter& meter);
absl::StatusOr<Value> Arithmetic(BinaryOperator op, const Value& a, const Value& b, Meter& meter);

// object.name (a method comes before an entry) and object[key] (an entry before a method); undefined where
// there is none.
absl::StatusOr<Value> GetAttribute(const Value& object, const std::string& name);
absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Meter& meter);
// getattr(): methods and attributes, but no entries.
Value OwnAttribute(const Value& object, const std::string& name);
// What the attribute argument of map, sort and their like names: "a.b", "0.name" or an index. `otherwise`
// (may be null) takes the place of what is undefined on the way.
absl::StatusOr<Value> GetPath(const Value& object, const Value& path, const Value* otherwise, Meter& meter);

}  // namespace quire::gateway::jinja
