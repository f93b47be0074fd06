// How values become text: Python's str() and repr().
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/jinja/value.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

// What repr() writes in place of a character; empty for one that stands for itself.
std::string ReprEscape(int32_t c, char quote) {
  if (c == quote || c == '\\') return {'\\', static_cast<char>(c)};
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (IsPrintable(c)) return "";
  if (c < 0x100) return absl::StrFormat("\\x%02x", c);
  return c < 0x10000 ? absl::StrFormat("\\u%04x", c) : absl::StrFormat("\\U%08x", c);
}

class ReprWriter {
 public:
  void Write(const Value& value) {
    if (const OriginText* text = value.AsText()) {
      if (value.Is<Markup>()) Put("Markup(");
      WriteText(*text);
      if (value.Is<Markup>()) Put(")");
    } else if (const List* list = value.AsList()) {
      WriteList(*list);
    } else if (const Map* map = value.AsMap()) {
      WriteMap(*map);
    } else {
      Put(value.Is<Undefined>() ? "Undefined" : Print(value).text());
    }
  }

  OriginText Take() { return std::move(out_); }

 private:
  void Put(std::string_view text) { out_.Append(text, Origin::kUser); }

  void WriteText(const OriginText& text) {
    const bool has_single = text.text().find('\'') != std::string::npos;
    const bool has_double = text.text().find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    Put(std::string(1, quote));
    for (size_t at = 0; at < text.size();) {
      const Character character = CharacterAt(text.text(), at);
      const std::string escaped = ReprEscape(character.code_point, quote);
      if (escaped.empty()) {
        out_.Append(text.Substr(at, character.bytes));
      } else {
        out_.Append(escaped, text.OriginAt(at));
      }
      at += character.bytes;
    }
    Put(std::string(1, quote));
  }

  void WriteItems(const List& list) {
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) Put(", ");
      Write(list.items[i]);
    }
  }

  void WriteList(const List& list) {
    switch (list.kind) {
      case ListKind::kTuple:
      case ListKind::kGroup:
        Put("(");
        WriteItems(list);
        return Put(list.items.size() == 1 ? ",)" : ")");
      case ListKind::kList:
        Put("[");
        WriteItems(list);
        return Put("]");
      default:
        Put(list.kind == ListKind::kKeys     ? "dict_keys(["
            : list.kind == ListKind::kValues ? "dict_values(["
                                             : "dict_items([");
        WriteItems(list);
        Put("])");
    }
  }

  void WriteMap(const Map& map) {
    Put("{");
    for (size_t i = 0; i < map.entries.size(); ++i) {
      if (i > 0) Put(", ");
      Write(map.entries[i].first);
      Put(": ");
      Write(map.entries[i].second);
    }
    Put("}");
  }

  OriginText out_;
};

// What Python prints of an object, less its address.
std::string PrintObject(const Value& value) {
  if (const auto* function = value.As<Function>()) return absl::StrCat("<function ", function->name, ">");
  if (const auto* method = value.As<MethodRef>())
    return absl::StrCat("<built-in method ", (*method)->name, ">");
  if (value.Is<IteratorRef>()) return "<generator object>";
  return absl::StrCat("<", value.KindName(), ">");
}

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
  if (value.AsList() != nullptr || value.AsMap() != nullptr) return Repr(value);
  if (value.Is<Undefined>()) return {};
  std::string plain;
  if (value.Is<None>()) {
    plain = "None";
  } else if (const bool* flag = value.As<bool>()) {
    plain = *flag ? "True" : "False";
  } else if (const int64_t* integer = value.As<int64_t>()) {
    plain = std::to_string(*integer);
  } else if (const double* number = value.As<double>()) {
    plain = PrintFloat(*number);
  } else {
    plain = PrintObject(value);
  }
  return {plain, Origin::kUser};
}

OriginText Repr(const Value& value) {
  ReprWriter writer;
  writer.Write(value);
  return writer.Take();
}

}  // namespace quire::gateway::jinja
