// What templates can call: filters, tests, methods of strings and mappings, functions. Pure functions over
// values; any thread. Always: nothing here reads anything but its arguments, and no result is larger than
// kMaxValueBytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/text/jinja/value.h"

namespace quire::gateway::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at that place or of that name, or null.
  const Value* Get(size_t place, std::string_view name) const;
  // INVALID_ARGUMENT if there are more than `most` positional ones, or a named one that is none of `names`.
  absl::Status Check(size_t most, const std::vector<std::string_view>& names) const;
};

absl::StatusOr<Value> ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments);
absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value, const Arguments& arguments);
// INVALID_ARGUMENT too for a method that `object` has not.
absl::StatusOr<Value> CallMethod(const Value& object, const std::string& name, const Arguments& arguments);

bool IsFunction(const std::string& name);
// All but raise_exception, which is the interpreter's. `unix_seconds` is what strftime_now tells, in UTC.
absl::StatusOr<Value> CallFunction(const std::string& name, const Arguments& arguments, int64_t unix_seconds);

// The items of a list, keys of a mapping, characters of a string, nothing of an undefined value.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value);
// `item in container`.
absl::StatusOr<bool> Contains(const Value& container, const Value& item);
// -1, 0 or 1; an error for values that have no order.
absl::StatusOr<int> Order(const Value& a, const Value& b);
// a OP b for + - * / // % ** ~.
absl::StatusOr<Value> Arithmetic(const std::string& op, const Value& a, const Value& b);
// value.name and value[key]; undefined where there is none.
absl::StatusOr<Value> Lookup(const Value& object, const Value& key);

}  // namespace quire::gateway::jinja
