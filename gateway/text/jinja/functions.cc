// The global functions, and arguments.
#include <algorithm>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox

Result Range(const Arguments& arguments) {
  std::vector<int64_t> bounds;
  for (const Value& value : arguments.positional) {
    if (!value.IsInteger()) return Wrong("range", "needs integers");
    bounds.push_back(value.Integer());
  }
  if (bounds.empty() || bounds.size() > 3) return Wrong("range", "needs one to three integers");
  if (bounds.size() == 1) bounds.insert(bounds.begin(), 0);
  const int64_t step = bounds.size() == 3 ? bounds[2] : 1;
  if (step == 0) return Wrong("range", "the step is 0");
  std::vector<Value> items;
  int64_t at = bounds[0];
  while (step > 0 ? at < bounds[1] : at > bounds[1]) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      return Wrong("range", absl::StrCat("has more than ", kMaxRange, " items"));
    }
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return Value::MakeList(std::move(items));
}

Result FormatTime(const Arguments& arguments, int64_t unix_seconds) {
  const Value* format = arguments.Get(0, "format");
  if (format == nullptr || format->AsText() == nullptr || format->AsText()->size() > 256) {
    return Wrong("strftime_now", "needs a short format");
  }
  const std::time_t seconds = unix_seconds;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char buffer[1024];
  const size_t size = std::strftime(buffer, sizeof(buffer), format->AsText()->text().c_str(), &utc);
  return Value::TemplateText(std::string_view(buffer, size));
}

// dict(mapping or pairs, name=value, ...)
Result Dict(const Arguments& arguments, Meter& meter) {
  if (arguments.positional.size() > 1) return Wrong("dict", "takes one mapping at most");
  Value::Entries entries;
  if (!arguments.positional.empty() && arguments.positional[0].AsMap() != nullptr) {
    entries = arguments.positional[0].AsMap()->entries;
  } else if (!arguments.positional.empty()) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(arguments.positional[0], meter));
    for (const Value& pair : pairs) {
      QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> parts, Iterate(pair, meter));
      if (parts.size() != 2) return Wrong("dict", "needs pairs");
      entries.emplace_back(parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) {
    entries.emplace_back(OriginText(name, Origin::kTemplate), value);
  }
  return Value::MakeMap(std::move(entries));
}

Result MakeNamespace(const Arguments& arguments, Meter& meter) {
  QUIRE_ASSIGN_OR_RETURN(const Value values, Dict(arguments, meter));
  auto space = std::make_shared<Namespace>();
  for (const auto& [name, value] : values.AsMap()->entries) {
    if (name.AsText() == nullptr || name.AsText()->text().starts_with('_')) {
      return Wrong("namespace", "needs names, and none that starts with '_'");
    }
    space->values[name.AsText()->text()] = value;
  }
  return Value(std::move(space));
}

}  // namespace

const Value* Arguments::Get(size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [candidate, value] : named) {
    if (candidate == name) return &value;
  }
  return nullptr;
}

const Value* Arguments::GetUnlessNone(size_t place, std::string_view name) const {
  const Value* value = Get(place, name);
  return value == nullptr || value->Is<None>() ? nullptr : value;
}

bool Arguments::Flag(size_t place, std::string_view name, bool otherwise) const {
  const Value* value = Get(place, name);
  return value == nullptr ? otherwise : value->Truthy();
}

absl::StatusOr<int64_t> Arguments::Integer(size_t place, std::string_view name, int64_t otherwise) const {
  const Value* value = Get(place, name);
  if (value == nullptr) return otherwise;
  if (!value->IsInteger()) {
    return absl::InvalidArgumentError(absl::StrCat("needs an integer, not ", value->KindName()));
  }
  return value->Integer();
}

absl::Status Arguments::Check(size_t most, const std::vector<std::string_view>& names) const {
  if (positional.size() > most) return absl::InvalidArgumentError("too many arguments");
  for (const auto& [name, value] : named) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("the argument '", name, "' is not supported"));
    }
  }
  return absl::OkStatus();
}

size_t Arguments::weight() const {
  size_t weight = 0;
  for (const Value& value : positional) weight += value.weight();
  return weight;
}

bool IsFunction(const std::string& name) {
  return name == "raise_exception" || name == "strftime_now" || name == "range" || name == "namespace" ||
         name == "dict";
}

Result CallFunction(const std::string& name, const Arguments& arguments, int64_t unix_seconds, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(arguments.weight()));
  if (name == "range") return Range(arguments);
  if (name == "strftime_now") return FormatTime(arguments, unix_seconds);
  if (name == "dict") return Dict(arguments, meter);
  if (name == "namespace") return MakeNamespace(arguments, meter);
  return Wrong(name, "no such function");
}

}  // namespace quire::gateway::jinja
