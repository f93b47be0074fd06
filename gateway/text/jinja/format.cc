// format(value, spec): Python's format mini-language.
#include "gateway/text/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

class SpecParser {
 public:
  explicit SpecParser(std::string_view text) : text_(text) {}

  absl::StatusOr<FormatSpec> Run() {
    Fill();
    if (const char c = Peek(); c == '+' || c == '-' || c == ' ') spec_.sign = Take();
    if (Peek() == '#') spec_.alternate = Take() != '\0';
    if (Peek() == '0') spec_.zero = Take() != '\0';
    QUIRE_RETURN_IF_ERROR(Number(spec_.width));
    if (Peek() == ',' || Peek() == '_') spec_.grouping = Take();
    if (Peek() == '.') {
      Take();
      if (Peek() < '0' || Peek() > '9') return Wrong("the precision of a format is missing");
      spec_.precision = 0;
      QUIRE_RETURN_IF_ERROR(Number(spec_.precision));
    }
    if (at_ < text_.size()) spec_.type = Take();
    if (at_ < text_.size()) return Wrong("a format specification is wrong");
    return spec_;
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char Take() { return text_[at_++]; }

  void Fill() {
    if (text_.empty()) return;
    const size_t bytes = CharacterAt(text_, 0).bytes;
    if (bytes < text_.size() && IsAlign(text_[bytes])) {
      spec_.fill = text_.substr(0, bytes);
      spec_.align = text_[bytes];
      at_ = bytes + 1;
    } else if (IsAlign(text_[0])) {
      spec_.align = Take();
    }
  }

  absl::Status Number(int64_t& number) {
    while (Peek() >= '0' && Peek() <= '9') {
      number = number * 10 + (Take() - '0');
      if (number > kMaxFormatWidth) {
        return Wrong(absl::StrCat("a width or precision of a format is over ", kMaxFormatWidth));
      }
    }
    return absl::OkStatus();
  }

  const std::string_view text_;
  size_t at_ = 0;
  FormatSpec spec_;
};

std::string Digits(uint64_t value, unsigned base, bool upper) {
  const char* const digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do {
    out += digits[value % base];
    value /= base;
  } while (value > 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string Sign(bool negative, char style) {
  if (negative) return "-";
  return style == '-' ? "" : std::string(1, style);
}

// Puts separators between each `group` digits of the integer part, after making it `width` characters wide
// with zeros.
std::string Group(std::string_view integer, char separator, size_t group, int64_t width) {
  std::string out;  // from its end
  size_t placed = 0;
  const auto place = [&](char digit) {
    if (separator != '\0' && placed > 0 && placed % group == 0) out += separator;
    out += digit;
    ++placed;
  };
  for (size_t i = integer.size(); i-- > 0;) place(integer[i]);
  while (static_cast<int64_t>(out.size()) < width) place('0');
  std::reverse(out.begin(), out.end());
  return out;
}

// sign, prefix, the integer digits (grouped, zero-padded) and the rest.
std::string Assemble(const std::string& sign, const std::string& integer, const std::string& rest,
                     const FormatSpec& spec, size_t group) {
  const bool pads_zeros = (spec.zero && spec.align == '\0') || (spec.align == '=' && spec.fill == "0");
  const int64_t width =
      pads_zeros ? spec.width - static_cast<int64_t>(sign.size()) - static_cast<int64_t>(rest.size()) : 0;
  return absl::StrCat(sign, Group(integer, spec.grouping, group, width), rest);
}

std::string Printf(const char* format, int precision, double value) {
  std::string out(512, '\0');
  int size = std::snprintf(out.data(), out.size(), format, precision, value);
  if (size >= static_cast<int>(out.size())) {
    out.resize(size + 1);
    size = std::snprintf(out.data(), out.size(), format, precision, value);
  }
  out.resize(size);
  return out;
}

// Without a type: as g, but with a digit behind the point, and all digits where no precision is given.
std::string PlainFloat(double value, int64_t precision) {
  if (precision < 0) return PrintFloat(value);
  if (precision == 0) precision = 1;
  const std::string scientific = Printf("%.*e", static_cast<int>(precision) - 1, value);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  std::string text = Printf("%.*g", static_cast<int>(precision), value);
  if (exponent == precision - 1 && text.find('e') == std::string::npos) {
    text = scientific;  // fixed notation would have no digit left behind the point
    size_t end = text.find('e');
    size_t last = text.find_last_not_of('0', end - 1);
    if (text.find('.') < end)
      text.erase(text[last] == '.' ? last : last + 1, end - (text[last] == '.' ? last : last + 1));
  } else if (text.find('.') == std::string::npos && text.find('e') == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string FloatDigits(double value, const FormatSpec& spec) {
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  switch (spec.type) {
    case 'e':
      return Printf(spec.alternate ? "%#.*e" : "%.*e", precision, value);
    case 'E':
      return Printf(spec.alternate ? "%#.*E" : "%.*E", precision, value);
    case 'f':
    case 'F':
      return Printf(spec.alternate ? "%#.*f" : "%.*f", precision, value);
    case 'g':
    case 'n':
      return Printf(spec.alternate ? "%#.*g" : "%.*g", precision, value);
    case 'G':
      return Printf(spec.alternate ? "%#.*G" : "%.*G", precision, value);
    case '%':
      return Printf("%.*f", precision, value * 100) + "%";
    default:
      return PlainFloat(value, spec.precision);
  }
}

// Numbers stand at the right by default, texts at the left.
absl::StatusOr<OriginText> Align(OriginText text, const FormatSpec& spec, char otherwise) {
  const char align = spec.align == '\0' ? otherwise : spec.align;
  const std::string fill = spec.zero && spec.align == '\0' ? "0" : spec.fill;
  if (align != '^') return Pad(text, spec.width, align == '<' ? -1 : 1, fill);
  // format() puts the odd one to the right, where str.center looks at the width.
  const int64_t missing = std::max<int64_t>(0, spec.width - CharCount(text.text()));
  QUIRE_ASSIGN_OR_RETURN(text, Pad(text, spec.width - missing + missing / 2, 1, fill));
  return Pad(text, spec.width, -1, fill);
}

absl::StatusOr<OriginText> FormatNumber(const std::string& digits, const FormatSpec& spec) {
  const bool negative = !digits.empty() && (digits[0] == '-' || digits[0] == '+' || digits[0] == ' ');
  if (spec.align != '=' || spec.fill == "0" || !negative) {
    FormatSpec at_right = spec;
    if (spec.align == '=') at_right.align = '>';
    return Align({digits, Origin::kUser}, at_right, '>');
  }
  FormatSpec rest = spec;
  rest.align = '>';
  rest.width = spec.width - 1;
  QUIRE_ASSIGN_OR_RETURN(const OriginText padded, Align({digits.substr(1), Origin::kUser}, rest, '>'));
  OriginText out(digits.substr(0, 1), Origin::kUser);
  out.Append(padded);
  return out;
}

absl::StatusOr<OriginText> FormatText(const OriginText& text, const FormatSpec& spec) {
  if ((spec.type != '\0' && spec.type != 's') || spec.align == '=' || spec.sign != '-' || spec.alternate ||
      spec.grouping != '\0') {
    return Wrong("a format specification does not fit a string");
  }
  return Align(spec.precision < 0 ? text : SliceText(text, 0, spec.precision, 1), spec, '<');
}

}  // namespace

absl::StatusOr<std::string> FormatInteger(int64_t value, const FormatSpec& spec) {
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != '\0') {
    return FormatFloat(static_cast<double>(value), spec);
  }
  if (spec.precision >= 0) return Wrong("an integer has no precision");
  const uint64_t magnitude = value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string sign = Sign(value < 0, spec.sign);
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n':
      return Assemble(sign, Digits(magnitude, 10, false), "", spec, 3);
    case 'b':
    case 'o':
    case 'x':
    case 'X': {
      if (spec.grouping == ',') return Wrong("',' groups decimal digits only");
      const unsigned base = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : 16;
      if (spec.alternate) sign += std::string("0") + spec.type;
      return Assemble(sign, Digits(magnitude, base, spec.type == 'X'), "", spec, 4);
    }
    default:
      return Wrong(absl::StrCat("'", std::string(1, spec.type), "' does not format integers"));
  }
}

absl::StatusOr<std::string> FormatFloat(double value, const FormatSpec& spec) {
  if (std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos && spec.type != '\0') {
    return Wrong(absl::StrCat("'", std::string(1, spec.type), "' does not format floats"));
  }
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  const std::string sign = Sign(std::signbit(value) && !std::isnan(value), spec.sign);
  if (!std::isfinite(value)) {
    const std::string name = std::isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
    return absl::StrCat(sign, name, spec.type == '%' ? "%" : "");
  }
  const std::string digits = FloatDigits(std::abs(value), spec);
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  return Assemble(sign, digits.substr(0, end), digits.substr(end), spec, 3);
}

absl::StatusOr<OriginText> FormatValue(const Value& value, std::string_view text) {
  if (text.empty()) return Print(value);
  QUIRE_ASSIGN_OR_RETURN(const FormatSpec spec, SpecParser(text).Run());
  if (const OriginText* string = value.AsText()) return FormatText(*string, spec);
  if (value.IsInteger()) {
    if (spec.type == 'c') return Wrong("'c' is not supported");
    QUIRE_ASSIGN_OR_RETURN(const std::string digits, FormatInteger(value.Integer(), spec));
    return FormatNumber(digits, spec);
  }
  if (value.IsNumber()) {
    QUIRE_ASSIGN_OR_RETURN(const std::string digits, FormatFloat(value.Number(), spec));
    return FormatNumber(digits, spec);
  }
  return Wrong(absl::StrCat(value.KindName(), " can't be formatted with a specification"));
}

}  // namespace quire::gateway::jinja
