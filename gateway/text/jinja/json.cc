// tojson: json.dumps with Hugging Face's options.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/core/status.h"
#include "gateway/text/jinja/value.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

std::string UnicodeEscape(int32_t c) {
  if (c < 0x10000) return absl::StrFormat("\\u%04x", c);
  c -= 0x10000;
  return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
}

// What stands in JSON for a character; empty for one that stands for itself.
std::string JsonEscape(int32_t c, bool ascii) {
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
      return c < 0x20 || (ascii && c > 0x7E) ? UnicodeEscape(c) : "";
  }
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style)
      : style_(style), item_separator_(style.item_separator.value_or(style.indent ? "," : ", ")) {}

  absl::Status Write(const Value& value, int level) {
    if (const OriginText* text = value.AsText()) {
      WriteText(*text);
      return absl::OkStatus();
    }
    if (const List* list = value.AsList()) {
      if (list->kind <= ListKind::kGroup) return WriteList(*list, level);
    } else if (const Map* map = value.AsMap()) {
      return WriteMap(*map, level);
    } else if (const std::optional<std::string> scalar = Scalar(value)) {
      Put(*scalar);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(value.KindName(), " has no JSON"));
  }

  OriginText Take() { return std::move(out_); }

 private:
  void Put(std::string_view text) { out_.Append(text, Origin::kUser); }

  static std::optional<std::string> Scalar(const Value& value) {
    if (value.Is<None>()) return "null";
    if (const bool* flag = value.As<bool>()) return *flag ? "true" : "false";
    if (const int64_t* integer = value.As<int64_t>()) return std::to_string(*integer);
    const double* number = value.As<double>();
    if (number == nullptr) return std::nullopt;
    if (std::isnan(*number)) return "NaN";
    if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
    return PrintFloat(*number);
  }

  void WriteText(const OriginText& text) {
    Put("\"");
    for (size_t at = 0; at < text.size();) {
      const Character character = CharacterAt(text.text(), at);
      const std::string escaped = JsonEscape(character.code_point, style_.ascii);
      if (escaped.empty()) {
        out_.Append(text.Substr(at, character.bytes));
      } else {
        out_.Append(escaped, text.OriginAt(at));
      }
      at += character.bytes;
    }
    Put("\"");
  }

  void NewLine(int level) {
    if (!style_.indent) return;
    Put("\n");
    for (int i = 0; i < level; ++i) Put(*style_.indent);
  }
  void Separate(bool first, int level) {
    if (!first) Put(item_separator_);
    NewLine(level);
  }

  absl::Status WriteList(const List& list, int level) {
    Put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      Separate(i == 0, level + 1);
      QUIRE_RETURN_IF_ERROR(Write(list.items[i], level + 1));
    }
    if (!list.items.empty()) NewLine(level);
    Put("]");
    return absl::OkStatus();
  }

  absl::Status WriteKey(const Value& key) {
    if (const OriginText* text = key.AsText()) {
      WriteText(*text);
      return absl::OkStatus();
    }
    const std::optional<std::string> scalar = Scalar(key);
    if (!scalar) return absl::InvalidArgumentError(absl::StrCat(key.KindName(), " can't be a key in JSON"));
    Put(absl::StrCat("\"", *scalar, "\""));
    return absl::OkStatus();
  }

  absl::Status WriteMap(const Map& map, int level) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : map.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      const bool all_text = std::all_of(entries.begin(), entries.end(),
                                        [](const auto* entry) { return entry->first.AsText() != nullptr; });
      if (!all_text) return absl::InvalidArgumentError("only strings can be sorted as keys");
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return a->first.AsText()->text() < b->first.AsText()->text();
      });
    }
    Put("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      Separate(i == 0, level + 1);
      QUIRE_RETURN_IF_ERROR(WriteKey(entries[i]->first));
      Put(style_.key_separator);
      QUIRE_RETURN_IF_ERROR(Write(entries[i]->second, level + 1));
    }
    if (!entries.empty()) NewLine(level);
    Put("}");
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  const std::string item_separator_;
  OriginText out_;
};

}  // namespace

absl::StatusOr<OriginText> ToJson(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  QUIRE_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace quire::gateway::jinja
