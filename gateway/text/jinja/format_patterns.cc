// "..." % values and "...".format(values).
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/format.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

absl::Status AppendWithin(const OriginText& text, OriginText& out) {
  if (out.size() + text.size() > kMaxValueBytes) return Wrong("a text becomes too long");
  out.Append(text);
  return absl::OkStatus();
}

// ascii(): repr() with what is not ASCII escaped.
OriginText AsciiRepr(const Value& value) {
  const OriginText repr = Repr(value);
  OriginText out;
  for (size_t at = 0; at < repr.size();) {
    const Character character = CharacterAt(repr.text(), at);
    const int32_t c = character.code_point;
    char escaped[16];
    std::snprintf(escaped, sizeof(escaped), c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    if (c < 0x80) {
      out.Append(repr.Substr(at, 1));
    } else {
      out.Append(escaped, repr.OriginAt(at));
    }
    at += character.bytes;
  }
  return out;
}

// One % conversion: %(key)flags width .precision type.
class PercentFormatter {
 public:
  PercentFormatter(const OriginText& pattern, const Value& values, bool escapes, Meter& meter)
      : pattern_(pattern), values_(values), escapes_(escapes), meter_(meter) {}

  absl::StatusOr<OriginText> Run() {
    while (at_ < pattern_.size()) {
      const size_t next = std::min(pattern_.text().find('%', at_), pattern_.size());
      QUIRE_RETURN_IF_ERROR(AppendWithin(pattern_.Substr(at_, next - at_), out_));
      at_ = next + 1;
      if (next < pattern_.size()) QUIRE_RETURN_IF_ERROR(Conversion(next));
    }
    if (!AllUsed()) return Wrong("% has more values than the string has places");
    return std::move(out_);
  }

 private:
  char Peek() const { return at_ < pattern_.size() ? pattern_.text()[at_] : '\0'; }

  bool AllUsed() const {
    if (values_.IsTuple()) return used_ >= values_.AsList()->items.size();
    const bool is_mapping =
        values_.AsMap() != nullptr || values_.AsList() != nullptr || values_.Is<Undefined>();
    return used_ > 0 || is_mapping;
  }

  absl::StatusOr<Value> NextValue() {
    const size_t count = values_.IsTuple() ? values_.AsList()->items.size() : 1;
    if (used_ >= count) return Wrong("% has fewer values than the string has places");
    ++used_;
    return values_.IsTuple() ? values_.AsList()->items[used_ - 1] : values_;
  }

  // A width or precision: digits, or * for the next value.
  absl::StatusOr<int64_t> Number() {
    int64_t number = 0;
    if (Peek() == '*') {
      ++at_;
      QUIRE_ASSIGN_OR_RETURN(const Value value, NextValue());
      if (!value.IsInteger()) return Wrong("* needs an integer");
      number = value.Integer();
    }
    for (; Peek() >= '0' && Peek() <= '9' && number <= kMaxFormatWidth; ++at_)
      number = number * 10 + (Peek() - '0');
    if (number > kMaxFormatWidth || number < -kMaxFormatWidth)
      return Wrong("a width or precision is too large");
    return number;
  }

  absl::StatusOr<std::optional<Value>> KeyedValue() {
    if (Peek() != '(') return std::nullopt;
    const size_t end = pattern_.text().find(')', at_);
    if (end == std::string::npos) return Wrong("the key of a % is not closed");
    if (values_.AsMap() == nullptr) return Wrong("% with a key needs a mapping");
    const Value key(pattern_.Substr(at_ + 1, end - at_ - 1));
    const Value* found = values_.AsMap()->Find(key);
    if (found == nullptr) return Wrong(absl::StrCat("the mapping has no '", key.AsText()->text(), "'"));
    at_ = end + 1;
    used_ = 1;
    return *found;
  }

  absl::Status Conversion(size_t start) {
    QUIRE_ASSIGN_OR_RETURN(std::optional<Value> value, KeyedValue());
    FormatSpec spec;
    for (; std::string_view("-+ #0").find(Peek()) != std::string_view::npos && Peek() != '\0'; ++at_) {
      if (Peek() == '-') spec.align = '<';
      if (Peek() == '+' || (Peek() == ' ' && spec.sign == '-')) spec.sign = Peek();
      spec.alternate = spec.alternate || Peek() == '#';
      spec.zero = spec.zero || Peek() == '0';
    }
    QUIRE_ASSIGN_OR_RETURN(spec.width, Number());
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = -spec.width;
    }
    if (Peek() == '.') {
      ++at_;
      QUIRE_ASSIGN_OR_RETURN(spec.precision, Number());
      spec.precision = std::max<int64_t>(spec.precision, 0);
    }
    while (Peek() == 'h' || Peek() == 'l' || Peek() == 'L') ++at_;
    spec.type = Peek();
    ++at_;
    if (spec.type == '%') return AppendWithin({"%", pattern_.OriginAt(start)}, out_);
    if (!value) {
      QUIRE_ASSIGN_OR_RETURN(value, NextValue());
    }
    QUIRE_RETURN_IF_ERROR(meter_.Spend(1));
    QUIRE_RETURN_IF_ERROR(meter_.SpendBytes(value->weight()));
    QUIRE_ASSIGN_OR_RETURN(OriginText text, Convert(*value, spec));
    QUIRE_ASSIGN_OR_RETURN(text, Pad(text, spec.width, spec.align == '<' ? -1 : 1, " "));
    return AppendWithin(text, out_);
  }

  absl::StatusOr<OriginText> Convert(const Value& value, FormatSpec spec) {
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'a' || spec.type == 'c')
      return Text(value, spec);
    if (!value.IsNumber()) return Wrong(absl::StrCat("%", std::string(1, spec.type), " needs a number"));
    if (spec.align == '<') spec.zero = false;
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    std::string digits;
    if (std::string_view("doxX").find(spec.type) != std::string_view::npos) {
      if (!value.IsInteger() && (spec.type != 'd' || !(std::abs(value.Number()) < 9e18))) {
        return Wrong("a % needs an integer");
      }
      const int64_t least_digits = std::exchange(spec.precision, -1);
      const auto integer = value.IsInteger() ? value.Integer() : static_cast<int64_t>(value.Number());
      QUIRE_ASSIGN_OR_RETURN(digits, FormatInteger(integer, spec));
      const size_t first = std::min(digits.find_first_of("0123456789abcdefABCDEF"), digits.size());
      const auto count = static_cast<int64_t>(digits.size() - first);
      if (count < least_digits) digits.insert(first, static_cast<size_t>(least_digits - count), '0');
    } else if (std::string_view("eEfFgG").find(spec.type) != std::string_view::npos && spec.type != '\0') {
      QUIRE_ASSIGN_OR_RETURN(digits, FormatFloat(value.Number(), spec));
    } else {
      return Wrong("an unknown conversion after %");
    }
    return OriginText(std::move(digits), Origin::kUser);
  }

  absl::StatusOr<OriginText> Text(const Value& value, FormatSpec& spec) const {
    spec.zero = false;
    if (spec.type == 'c') {
      if (value.AsText() == nullptr || CharCount(value.AsText()->text()) != 1)
        return Wrong("%c needs one character");
      return *value.AsText();
    }
    OriginText text = spec.type == 's' ? Print(value) : spec.type == 'r' ? Repr(value) : AsciiRepr(value);
    if (escapes_ && !value.Is<Markup>()) text = EscapeHtml(text);
    return spec.precision < 0 ? text : SliceText(text, 0, spec.precision, 1);
  }

  const OriginText& pattern_;
  const Value& values_;
  const bool escapes_;
  Meter& meter_;
  size_t at_ = 0;
  size_t used_ = 0;
  OriginText out_;
};

// str.format: {{, }}, {}, {0}, {name}, each with .attribute, [item], !r, !s, !a and :spec, in which {} stand
// again.
class BraceFormatter {
 public:
  BraceFormatter(const Arguments& arguments, bool escapes, Meter& meter)
      : arguments_(arguments), escapes_(escapes), meter_(meter) {}

  absl::StatusOr<OriginText> Run(const OriginText& pattern, int depth) {
    if (depth > 2) return Wrong("format: fields are nested too deeply");
    const std::string& text = pattern.text();
    OriginText out;
    for (size_t at = 0; at < text.size();) {
      const size_t next = std::min(text.find_first_of("{}", at), text.size());
      QUIRE_RETURN_IF_ERROR(AppendWithin(pattern.Substr(at, next - at), out));
      if (next == text.size()) break;
      if (next + 1 < text.size() && text[next + 1] == text[next]) {
        out.Append(pattern.Substr(next, 1));
        at = next + 2;
        continue;
      }
      if (text[next] == '}') return Wrong("format: a single '}'");
      QUIRE_ASSIGN_OR_RETURN(const size_t end, FieldEnd(text, next + 1));
      QUIRE_ASSIGN_OR_RETURN(const OriginText field, Field(pattern.Substr(next + 1, end - next - 1), depth));
      QUIRE_RETURN_IF_ERROR(AppendWithin(field, out));
      at = end + 1;
    }
    return out;
  }

 private:
  static absl::StatusOr<size_t> FieldEnd(const std::string& text, size_t at) {
    int open = 1;
    for (; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
    }
    return Wrong("format: a '{' is not closed");
  }

  absl::StatusOr<OriginText> Field(const OriginText& field, int depth) {
    const std::string& text = field.text();
    const size_t name_end = std::min(text.find_first_of("!:"), text.size());
    QUIRE_ASSIGN_OR_RETURN(Value value, Named(text.substr(0, name_end)));
    size_t at = name_end;
    if (at < text.size() && text[at] == '!') {
      const char conversion = at + 1 < text.size() ? text[at + 1] : '\0';
      if (conversion != 'r' && conversion != 's' && conversion != 'a')
        return Wrong("format: an unknown conversion");
      value = conversion == 'r' ? Repr(value) : conversion == 's' ? Print(value) : AsciiRepr(value);
      at += 2;
      if (at < text.size() && text[at] != ':') return Wrong("format: ':' is missing after a conversion");
    }
    QUIRE_RETURN_IF_ERROR(meter_.Spend(1));
    QUIRE_RETURN_IF_ERROR(meter_.SpendBytes(value.weight()));
    OriginText spec;
    if (at < text.size()) {
      QUIRE_ASSIGN_OR_RETURN(spec, Run(field.Substr(at + 1), depth + 1));
    }
    QUIRE_ASSIGN_OR_RETURN(OriginText formatted, FormatValue(value, spec.text()));
    return escapes_ && !value.Is<Markup>() ? EscapeHtml(formatted) : formatted;
  }

  // name, then .attribute and [item] any number of times.
  absl::StatusOr<Value> Named(const std::string& path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    QUIRE_ASSIGN_OR_RETURN(Value value, First(path.substr(0, at)));
    while (at < path.size()) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        QUIRE_ASSIGN_OR_RETURN(value, GetAttribute(value, path.substr(at + 1, end - at - 1)));
        at = end;
        continue;
      }
      const size_t end = path[at] == '[' ? path.find(']', at) : std::string::npos;
      if (end == std::string::npos) return Wrong("format: a field's name is wrong");
      const std::string key = path.substr(at + 1, end - at - 1);
      int64_t index = 0;
      const bool is_index = absl::SimpleAtoi(key, &index) && index >= 0;
      QUIRE_ASSIGN_OR_RETURN(value,
                             GetItem(value, is_index ? Value(index) : Value::TemplateText(key), meter_));
      at = end + 1;
    }
    return value;
  }

  absl::StatusOr<Value> First(const std::string& name) {
    int64_t index = 0;
    const bool counts = name.empty();
    if (!counts && !absl::SimpleAtoi(name, &index)) {
      for (const auto& [candidate, value] : arguments_.named) {
        if (candidate == name) return value;
      }
      return Wrong(absl::StrCat("format: there is no argument '", name, "'"));
    }
    if ((counts && next_ < 0) || (!counts && next_ > 0)) return Wrong("format: {} and {0} can't be mixed");
    if (counts) index = next_++;
    if (!counts) next_ = -1;
    if (index < 0 || index >= static_cast<int64_t>(arguments_.positional.size())) {
      return Wrong("format: there are fewer arguments than fields");
    }
    return arguments_.positional[index];
  }

  const Arguments& arguments_;
  const bool escapes_;
  Meter& meter_;
  int64_t next_ = 0;  // the next {}'s argument; -1 once a {0} was seen
};

}  // namespace

absl::StatusOr<OriginText> FormatPercent(const OriginText& pattern, const Value& values, bool escapes,
                                         Meter& meter) {
  return PercentFormatter(pattern, values, escapes, meter).Run();
}

absl::StatusOr<OriginText> FormatBraces(const OriginText& pattern, const Arguments& arguments, bool escapes,
                                        Meter& meter) {
  return BraceFormatter(arguments, escapes, meter).Run(pattern, 0);
}

}  // namespace quire::gateway::jinja
