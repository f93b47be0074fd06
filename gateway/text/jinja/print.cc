// How values become text: Python's str() and repr(), and json.dumps.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/value.h"

namespace quire::gateway::jinja {
namespace {

// The bytes that json.dumps and repr() write in place of a control character, a quote or a backslash; empty
// for others.
std::string JsonEscape(unsigned char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      if (c >= 0x20) return "";
      return {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
  }
}

std::string ReprEscape(unsigned char c, char quote) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (c == static_cast<unsigned char>(quote) || c == '\\') return {'\\', static_cast<char>(c)};
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c >= 0x20 && c != 0x7F) return "";
  return {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
}

// Appends `text` in quotes, each byte or what `escape` makes of it with the byte's own origin.
template <typename Escape>
void AppendQuoted(const OriginText& text, char quote, const Escape& escape, OriginText& out) {
  out.Append(std::string(1, quote), Origin::kUser);
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string replacement = escape(static_cast<unsigned char>(text.text()[i]));
    out.Append(replacement.empty() ? std::string(1, text.text()[i]) : replacement, text.OriginAt(i));
  }
  out.Append(std::string(1, quote), Origin::kUser);
}

void AppendJsonString(const OriginText& text, OriginText& out) { AppendQuoted(text, '"', JsonEscape, out); }

void AppendRepr(const Value& value, OriginText& out);

void AppendReprString(const OriginText& text, OriginText& out) {
  const bool has_single = text.text().find('\'') != std::string::npos;
  const bool has_double = text.text().find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  AppendQuoted(
      text, quote, [quote](unsigned char c) { return ReprEscape(c, quote); }, out);
}

void AppendReprList(const List& list, OriginText& out) {
  out.Append("[", Origin::kUser);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.Append(", ", Origin::kUser);
    AppendRepr(list.items[i], out);
  }
  out.Append("]", Origin::kUser);
}

void AppendReprMap(const Map& map, OriginText& out) {
  out.Append("{", Origin::kUser);
  for (size_t i = 0; i < map.entries.size(); ++i) {
    if (i > 0) out.Append(", ", Origin::kUser);
    AppendReprString(map.entries[i].first, out);
    out.Append(": ", Origin::kUser);
    AppendRepr(map.entries[i].second, out);
  }
  out.Append("}", Origin::kUser);
}

void AppendRepr(const Value& value, OriginText& out) {
  if (const OriginText* text = value.AsText()) return AppendReprString(*text, out);
  if (const List* list = value.AsList()) return AppendReprList(*list, out);
  if (const Map* map = value.AsMap()) return AppendReprMap(*map, out);
  if (value.Is<Undefined>()) return out.Append("Undefined", Origin::kUser);
  out.Append(Print(value));
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  absl::Status Write(const Value& value, int level) {
    if (const OriginText* text = value.AsText()) {
      AppendJsonString(*text, out_);
    } else if (const List* list = value.AsList()) {
      return WriteAll(*list, level);
    } else if (const Map* map = value.AsMap()) {
      return WriteAll(*map, level);
    } else if (value.Is<None>()) {
      Put("null");
    } else if (const bool* flag = value.As<bool>()) {
      Put(*flag ? "true" : "false");
    } else if (const int64_t* integer = value.As<int64_t>()) {
      Put(std::to_string(*integer));
    } else if (const double* number = value.As<double>()) {
      Put(std::isnan(*number)   ? "NaN"
          : std::isinf(*number) ? (*number > 0 ? "Infinity" : "-Infinity")
                                : PrintFloat(*number));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("tojson: ", value.KindName(), " has no JSON"));
    }
    return absl::OkStatus();
  }

  OriginText Take() { return std::move(out_); }

 private:
  void Put(std::string_view text) { out_.Append(text, Origin::kUser); }
  void NewLine(int level) {
    if (indent_ < 0) return;
    Put("\n");
    Put(std::string(static_cast<size_t>(indent_) * level, ' '));
  }
  void Separate(bool first, int level) {
    if (!first) Put(indent_ >= 0 ? "," : ", ");
    NewLine(level);
  }

  absl::Status WriteAll(const List& list, int level) {
    Put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      Separate(i == 0, level + 1);
      QUIRE_RETURN_IF_ERROR(Write(list.items[i], level + 1));
    }
    if (!list.items.empty()) NewLine(level);
    Put("]");
    return absl::OkStatus();
  }

  absl::Status WriteAll(const Map& map, int level) {
    Put("{");
    for (size_t i = 0; i < map.entries.size(); ++i) {
      Separate(i == 0, level + 1);
      AppendJsonString(map.entries[i].first, out_);
      Put(": ");
      QUIRE_RETURN_IF_ERROR(Write(map.entries[i].second, level + 1));
    }
    if (!map.entries.empty()) NewLine(level);
    Put("}");
    return absl::OkStatus();
  }

  const int indent_;
  OriginText out_;
};

}  // namespace

std::string PrintFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string text(buffer, scientific.ptr);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string plain(buffer, fixed.ptr);
  if (plain.find('.') == std::string::npos) plain += ".0";
  return plain;
}

OriginText Print(const Value& value) {
  if (const OriginText* text = value.AsText()) return *text;
  std::string plain;
  if (value.Is<None>()) plain = "None";
  if (const bool* flag = value.As<bool>()) plain = *flag ? "True" : "False";
  if (const int64_t* integer = value.As<int64_t>()) plain = std::to_string(*integer);
  if (const double* number = value.As<double>()) plain = PrintFloat(*number);
  if (value.Is<NamespaceRef>() || value.Is<Function>() || value.Is<const Statement*>())
    plain = value.KindName();
  OriginText out(plain, Origin::kUser);
  if (value.AsList() != nullptr || value.AsMap() != nullptr) AppendRepr(value, out);
  return out;
}

absl::StatusOr<OriginText> ToJson(const Value& value, int indent) {
  JsonWriter writer(indent);
  QUIRE_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace quire::gateway::jinja
