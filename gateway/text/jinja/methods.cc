// Methods of strings and mappings, and the global functions.
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox

absl::Status Wrong(const std::string& name, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", std::string(problem)));
}

absl::StatusOr<Value> ListOfTexts(std::vector<OriginText> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (OriginText& text : texts) items.emplace_back(std::move(text));
  return Value::MakeList(std::move(items));
}

// An optional argument that must be text; None counts as absent.
absl::StatusOr<std::optional<std::string>> TextArgument(const std::string& method, const Arguments& arguments,
                                                        size_t place, std::string_view name) {
  const Value* value = arguments.Get(place, name);
  if (value == nullptr || value->Is<None>()) return std::nullopt;
  if (value->AsText() == nullptr) return Wrong(method, absl::StrCat(std::string(name), " must be a string"));
  return value->AsText()->text();
}

int64_t LimitArgument(const Arguments& arguments, size_t place, std::string_view name) {
  const Value* value = arguments.Get(place, name);
  return value != nullptr && value->IsInteger() ? value->Integer() : -1;
}

absl::StatusOr<Value> StripMethod(const std::string& name, const OriginText& text,
                                  const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(const auto characters, TextArgument(name, arguments, 0, "chars"));
  const Side side = name == "lstrip" ? Side::kLeft : name == "rstrip" ? Side::kRight : Side::kBoth;
  return Value(Strip(text, side, characters));
}

absl::StatusOr<Value> SplitMethod(const OriginText& text, const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(const auto separator, TextArgument("split", arguments, 0, "sep"));
  if (separator && separator->empty()) return Wrong("split", "the separator is empty");
  return ListOfTexts(SplitText(text, separator, LimitArgument(arguments, 1, "maxsplit")));
}

absl::StatusOr<Value> AffixMethod(const std::string& name, const OriginText& text,
                                  const Arguments& arguments) {
  const Value* affixes = arguments.Get(0, name == "startswith" ? "prefix" : "suffix");
  std::vector<Value> candidates;
  if (affixes != nullptr && affixes->AsList() != nullptr) candidates = affixes->AsList()->items;
  if (affixes != nullptr && affixes->AsText() != nullptr) candidates = {*affixes};
  if (candidates.empty()) return Wrong(name, "needs a string");
  for (const Value& candidate : candidates) {
    if (candidate.AsText() == nullptr) return Wrong(name, "needs strings");
    const std::string& affix = candidate.AsText()->text();
    if (name == "startswith" ? text.text().starts_with(affix) : text.text().ends_with(affix))
      return Value(true);
  }
  return Value(false);
}

absl::StatusOr<Value> FindMethod(const OriginText& text, const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(const auto wanted, TextArgument("find", arguments, 0, "sub"));
  const size_t found = wanted ? text.text().find(*wanted) : std::string::npos;
  if (found == std::string::npos) return Value(int64_t{-1});
  return Value(CharCount(std::string_view(text.text()).substr(0, found)));
}

absl::StatusOr<Value> CountMethod(const OriginText& text, const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(const auto wanted, TextArgument("count", arguments, 0, "sub"));
  if (!wanted || wanted->empty()) return Wrong("count", "needs a string that is not empty");
  return Value(static_cast<int64_t>(SplitText(text, *wanted, -1).size()) - 1);
}

absl::StatusOr<Value> TextMethod(const OriginText& text, const std::string& name,
                                 const Arguments& arguments) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") return StripMethod(name, text, arguments);
  if (name == "split") return SplitMethod(text, arguments);
  if (name == "splitlines") return ListOfTexts(SplitLines(text));
  if (name == "startswith" || name == "endswith") return AffixMethod(name, text, arguments);
  if (name == "upper") return Value(ChangeCase(text, Case::kUpper));
  if (name == "lower") return Value(ChangeCase(text, Case::kLower));
  if (name == "capitalize") return Value(ChangeCase(text, Case::kCapitalize));
  if (name == "title") return Value(ChangeCase(text, Case::kTitle));
  if (name == "find") return FindMethod(text, arguments);
  if (name == "count") return CountMethod(text, arguments);
  if (name == "replace" || name == "join") {
    if (name == "replace") return ApplyFilter("replace", Value(text), arguments);
    if (arguments.positional.size() != 1) return Wrong(name, "needs one argument");
    Arguments separator;
    separator.positional.emplace_back(text);
    return ApplyFilter("join", arguments.positional[0], separator);
  }
  return Wrong(name, "strings have no such method here");
}

absl::StatusOr<Value> MapMethod(const Map& map, const std::string& name, const Arguments& arguments) {
  if (name == "get") {
    const Value* key = arguments.Get(0, "key");
    const Value* otherwise = arguments.Get(1, "default");
    const Value* found =
        key != nullptr && key->AsText() != nullptr ? map.Find(key->AsText()->text()) : nullptr;
    if (found != nullptr) return *found;
    return otherwise == nullptr ? Value(None{}) : *otherwise;
  }
  std::vector<Value> items;
  for (const auto& [key, value] : map.entries) {
    if (name == "keys") {
      items.emplace_back(key);
    } else if (name == "values") {
      items.push_back(value);
    } else if (name == "items") {
      QUIRE_ASSIGN_OR_RETURN(Value pair, Value::MakeList({Value(key), value}));
      items.push_back(std::move(pair));
    }
  }
  if (name != "keys" && name != "values" && name != "items")
    return Wrong(name, "mappings have no such method here");
  return Value::MakeList(std::move(items));
}

absl::StatusOr<Value> Range(const Arguments& arguments) {
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

absl::StatusOr<Value> FormatTime(const Arguments& arguments, int64_t unix_seconds) {
  QUIRE_ASSIGN_OR_RETURN(const auto format, TextArgument("strftime_now", arguments, 0, "format"));
  if (!format || format->size() > 256) return Wrong("strftime_now", "needs a short format");
  const std::time_t seconds = unix_seconds;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char buffer[1024];
  const size_t size = std::strftime(buffer, sizeof(buffer), format->c_str(), &utc);
  return Value::TemplateText(std::string_view(buffer, size));
}

absl::StatusOr<Value> Dict(const Arguments& arguments) {
  Value::Entries entries;
  if (!arguments.positional.empty() && arguments.positional[0].AsMap() != nullptr) {
    entries = arguments.positional[0].AsMap()->entries;
  }
  for (const auto& [name, value] : arguments.named) {
    entries.emplace_back(OriginText(name, Origin::kTemplate), value);
  }
  return Value::MakeMap(std::move(entries));
}

absl::StatusOr<Value> MakeNamespace(const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(const Value values, Dict(arguments));
  auto space = std::make_shared<Namespace>();
  for (const auto& [name, value] : values.AsMap()->entries) space->values[name.text()] = value;
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

absl::Status Arguments::Check(size_t most, const std::vector<std::string_view>& names) const {
  if (positional.size() > most) return absl::InvalidArgumentError("too many arguments");
  for (const auto& [name, value] : named) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("the argument '", name, "' is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> CallMethod(const Value& object, const std::string& name, const Arguments& arguments) {
  if (const auto* undefined = object.As<Undefined>()) {
    return absl::InvalidArgumentError(absl::StrCat("'", undefined->hint, "' is undefined"));
  }
  if (const OriginText* text = object.AsText()) return TextMethod(*text, name, arguments);
  if (const Map* map = object.AsMap()) return MapMethod(*map, name, arguments);
  return Wrong(name, absl::StrCat(object.KindName(), " has no such method here"));
}

bool IsFunction(const std::string& name) {
  return name == "raise_exception" || name == "strftime_now" || name == "range" || name == "namespace" ||
         name == "dict";
}

absl::StatusOr<Value> CallFunction(const std::string& name, const Arguments& arguments,
                                   int64_t unix_seconds) {
  if (name == "range") return Range(arguments);
  if (name == "strftime_now") return FormatTime(arguments, unix_seconds);
  if (name == "dict") return Dict(arguments);
  if (name == "namespace") return MakeNamespace(arguments);
  return Wrong(name, "no such function");
}

}  // namespace quire::gateway::jinja
