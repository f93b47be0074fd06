// Which filters "value | NAME" can name, and those of numbers and of any value. Not supported: pprint,
// random, striptags, urlize, wordwrap, xmlattr.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kMaxIndent = 16;

absl::Status ReadIndent(const Value& indent, JsonStyle& style) {
  if (const OriginText* text = indent.AsText()) {
    style.indent = text->text();
  } else if (indent.IsInteger() && indent.Integer() <= kMaxIndent) {
    style.indent = std::string(std::max<int64_t>(indent.Integer(), 0), ' ');
  }
  if (style.indent && style.indent->size() <= kMaxIndent) return absl::OkStatus();
  return Wrong(absl::StrCat("indent must be a string or a number of at most ", kMaxIndent));
}

Result ToJsonFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(4, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ascii = arguments.Flag(0, "ensure_ascii", false);
  style.sort_keys = arguments.Flag(3, "sort_keys", false);
  if (const Value* indent = arguments.GetUnlessNone(1, "indent")) {
    QUIRE_RETURN_IF_ERROR(ReadIndent(*indent, style));
  }
  if (const Value* separators = arguments.GetUnlessNone(2, "separators")) {
    const List* pair = separators->AsList();
    if (pair == nullptr || pair->items.size() != 2 || pair->items[0].AsText() == nullptr ||
        pair->items[1].AsText() == nullptr) {
      return Wrong("separators must be two strings");
    }
    style.item_separator = pair->items[0].AsText()->text();
    style.key_separator = pair->items[1].AsText()->text();
    if (style.item_separator->size() + style.key_separator.size() > kMaxIndent)
      return Wrong("separators are too long");
  }
  QUIRE_ASSIGN_OR_RETURN(OriginText json, ToJson(input, style));
  return Value(std::move(json));
}

Result DefaultFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"default_value", "boolean"}));
  const bool replaces = input.Is<Undefined>() || (arguments.Flag(1, "boolean", false) && !input.Truthy());
  if (!replaces) return input;
  const Value* otherwise = arguments.Get(0, "default_value");
  return otherwise == nullptr ? Value::TemplateText("") : *otherwise;
}

// int(text, base) as Python reads it: spaces around, a sign, single underscores, the base's prefix.
std::optional<int64_t> ParseInteger(const OriginText& text, int64_t base) {
  std::string digits = Strip(text, Side::kBoth, std::nullopt).text();
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  const std::string prefix = digits.substr(0, 2);
  const int64_t of_prefix = prefix == "0x" || prefix == "0X"   ? 16
                            : prefix == "0o" || prefix == "0O" ? 8
                            : prefix == "0b" || prefix == "0B" ? 2
                                                               : 0;
  if (of_prefix != 0 && of_prefix == base) digits.erase(0, 2);
  if (digits.starts_with('_') || digits.ends_with('_') || digits.find("__") != std::string::npos)
    return std::nullopt;
  std::erase(digits, '_');
  if (digits.empty() || base < 2 || base > 36) return std::nullopt;
  int64_t value = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 10
                      : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                             : 36;
    if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

std::optional<double> ParseFloat(const OriginText& text) {
  std::string digits = Strip(text, Side::kBoth, std::nullopt).text();
  std::erase(digits, '_');
  double number = 0;
  if (digits.find_first_of("xX") != std::string::npos || !absl::SimpleAtod(digits, &number))
    return std::nullopt;
  return number;
}

Result IntFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"default", "base"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t base, arguments.Integer(1, "base", 10));
  if (input.Is<Undefined>()) return Wrong("the value is undefined");
  std::optional<double> number;
  if (const OriginText* text = input.AsText()) {
    if (const auto integer = ParseInteger(*text, base)) return Value(*integer);
    number = ParseFloat(*text);
  } else if (input.IsInteger()) {
    return Value(input.Integer());
  } else if (input.IsNumber()) {
    number = input.Number();
  }
  if (number && std::isfinite(*number)) {
    if (!(std::abs(*number) < 9e18)) return Wrong("the number is out of range");
    return Value(static_cast<int64_t>(*number));
  }
  const Value* otherwise = arguments.Get(0, "default");
  return otherwise == nullptr ? Value(int64_t{0}) : *otherwise;
}

Result FloatFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"default"}));
  if (input.Is<Undefined>()) return Wrong("the value is undefined");
  if (input.IsNumber()) return Value(input.Number());
  if (input.AsText() != nullptr) {
    if (const auto number = ParseFloat(*input.AsText())) return Value(*number);
  }
  const Value* otherwise = arguments.Get(0, "default");
  return otherwise == nullptr ? Value(0.0) : *otherwise;
}

Result AbsFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  if (!input.IsNumber()) return Wrong("needs a number");
  if (const double* number = input.As<double>()) return Value(std::abs(*number));
  return input.Integer() < 0 ? Arithmetic(BinaryOperator::kSubtract, Value(int64_t{0}), input, meter)
                             : Result(Value(input.Integer()));
}

// To the nearest, ties to even, by the exact decimal value, as Python's round().
double RoundTo(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / scale) * scale;
  }
  char buffer[1024];
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
  double rounded = value;
  return absl::SimpleAtod(buffer, &rounded) ? rounded : value;
}

Result RoundFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {"precision", "method"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t digits, arguments.Integer(0, "precision", 0));
  const Value* given = arguments.Get(1, "method");
  const std::string method = given == nullptr ? "common" : Print(*given).text();
  if (method != "common" && method != "ceil" && method != "floor")
    return Wrong("method must be common, ceil or floor");
  if (!input.IsNumber()) return Wrong("needs a number");
  if (digits < -300 || digits > 300) return Wrong("the precision is out of range");
  if (method == "common") {
    if (!input.IsInteger()) return Value(RoundTo(input.Number(), digits));
    if (digits >= 0) return Value(input.Integer());
    const double rounded = RoundTo(input.Number(), digits);
    if (!(std::abs(rounded) < 9.2e18)) return Wrong("the number is out of range");
    return Value(static_cast<int64_t>(rounded));
  }
  const double scale = std::pow(10.0, static_cast<double>(digits)), scaled = input.Number() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result FileSizeFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"binary"}));
  const bool binary = arguments.Flag(0, "binary", false);
  const std::optional<double> number = input.IsNumber()            ? input.Number()
                                       : input.AsText() != nullptr ? ParseFloat(*input.AsText())
                                                                   : std::nullopt;
  if (!number || !std::isfinite(*number)) return Wrong("needs a number");
  const double bytes = *number, base = binary ? 1024 : 1000;
  if (bytes == 1) return Value(OriginText("1 Byte", Origin::kUser));
  if (bytes < base)
    return Value(OriginText(absl::StrCat(static_cast<int64_t>(bytes), " Bytes"), Origin::kUser));
  double unit = base;
  const char* prefix = "";
  for (const char* next : {"k", "M", "G", "T", "P", "E", "Z", "Y"}) {
    prefix = next;
    unit *= base;
    if (bytes < unit) break;
  }
  char text[64];
  std::snprintf(text, sizeof(text), "%.1f ", base * bytes / unit);
  const std::string letter = binary && *prefix == 'k' ? "K" : prefix;
  return Value(OriginText(absl::StrCat(text, letter, binary ? "iB" : "B"), Origin::kUser));
}

Result LengthFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t length, Length(input));
  return Value(length);
}

Result AttrFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"name"}));
  const Value* name = arguments.Get(0, "name");
  if (name == nullptr || name->AsText() == nullptr) return Wrong("needs a name");
  if (input.Is<Undefined>()) return Wrong("the value is undefined");
  return OwnAttribute(input, name->AsText()->text());
}

const FilterTable& ValueFilters() {
  static const FilterTable filters = {{"tojson", ToJsonFilter},
                                      {"default", DefaultFilter},
                                      {"d", DefaultFilter},
                                      {"int", IntFilter},
                                      {"float", FloatFilter},
                                      {"abs", AbsFilter},
                                      {"round", RoundFilter},
                                      {"length", LengthFilter},
                                      {"count", LengthFilter},
                                      {"attr", AttrFilter},
                                      {"filesizeformat", FileSizeFilter}};
  return filters;
}

FilterFunction Find(const std::string& name) {
  for (const FilterTable* table :
       {&ValueFilters(), &TextFilters(), &SequenceFilters(), &SelectionFilters()}) {
    if (const auto found = table->find(name); found != table->end()) return found->second;
  }
  return nullptr;
}

}  // namespace

bool IsFilter(const std::string& name) { return Find(name) != nullptr; }

Result ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments, Meter& meter) {
  const FilterFunction filter = Find(name);
  if (filter == nullptr) return Wrong(absl::StrCat("the filter '", name, "' is not supported"));
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(input.weight() + arguments.weight()));
  Result result = filter(input, arguments, meter);
  if (!result.ok()) return absl::InvalidArgumentError(absl::StrCat(name, ": ", MessageOf(result.status())));
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(result->weight()));
  return result;
}

}  // namespace quire::gateway::jinja
