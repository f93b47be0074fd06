// The filters of texts. Most take any value, as its str().
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/format.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// Markup stays markup.
Value Like(const Value& input, OriginText text) {
  return input.Is<Markup>() ? Value::MarkupText(std::move(text)) : Value(std::move(text));
}

Result StringFilter(const Value& input, const Arguments&, Meter&) { return Like(input, Print(input)); }
Result SafeFilter(const Value& input, const Arguments&, Meter&) { return Value::MarkupText(Print(input)); }

Result EscapeFilter(const Value& input, const Arguments&, Meter&) {
  return input.Is<Markup>() ? input : Value::MarkupText(EscapeHtml(Print(input)));
}
Result ForceEscapeFilter(const Value& input, const Arguments&, Meter&) {
  return Value::MarkupText(EscapeHtml(Print(input)));
}

template <Case kCase>
Result CaseFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  return Like(input, ChangeCase(Print(input), kCase));
}

// Unlike str.title(), only white space and -({[< start a word.
Result TitleFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  const OriginText text = Print(input);
  OriginText out;
  const auto separates_words = [](int32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  size_t at = 0;
  while (at < text.size()) {
    const Character first = CharacterAt(text.text(), at);
    out.Append(ChangeCase(text.Substr(at, first.bytes), Case::kUpper));
    size_t end = at + first.bytes;
    while (!separates_words(first.code_point) && end < text.size()) {
      const Character next = CharacterAt(text.text(), end);
      if (separates_words(next.code_point)) break;
      end += next.bytes;
    }
    out.Append(ChangeCase(text.Substr(at + first.bytes, end - at - first.bytes), Case::kLower));
    at = end;
  }
  return Value(std::move(out));
}

Result TrimFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"chars"}));
  const Value* characters = arguments.GetUnlessNone(0, "chars");
  if (characters == nullptr) return Like(input, Strip(Print(input), Side::kBoth, std::nullopt));
  if (characters->AsText() == nullptr) return Wrong("needs a string");
  return Like(input, Strip(Print(input), Side::kBoth, characters->AsText()->text()));
}

Result ReplaceFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {"old", "new", "count"}));
  const Value* from = arguments.Get(0, "old");
  const Value* to = arguments.Get(1, "new");
  if (from == nullptr || to == nullptr) return Wrong("needs what to replace and by what");
  const bool limited = arguments.GetUnlessNone(2, "count") != nullptr;
  QUIRE_ASSIGN_OR_RETURN(const int64_t limit,
                         limited ? arguments.Integer(2, "count", -1) : absl::StatusOr<int64_t>(-1));
  QUIRE_ASSIGN_OR_RETURN(OriginText replaced, Replace(Print(input), Print(*from).text(), Print(*to), limit));
  return Value(std::move(replaced));
}

Result IndentFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {"width", "first", "blank"}));
  if (input.AsText() == nullptr) return Wrong("needs a string");
  const Value* given = arguments.Get(0, "width");
  OriginText margin("    ", Origin::kTemplate);
  if (given != nullptr && given->AsText() != nullptr) {
    margin = *given->AsText();
  } else if (given != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t width, arguments.Integer(0, "width", 4));
    if (width > kMaxFormatWidth) return Wrong("the width is too large");
    margin = OriginText(std::string(std::max<int64_t>(width, 0), ' '), Origin::kTemplate);
  }
  const bool first = arguments.Flag(1, "first", false), blank = arguments.Flag(2, "blank", false);
  OriginText text = Print(input);
  text.Append("\n", Origin::kTemplate);  // as Jinja: a line end at the end makes one more line
  const std::vector<OriginText> lines = SplitLines(text);
  if (lines.size() * (margin.size() + 1) > kMaxValueBytes) return Wrong("a text becomes too long");
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(lines.size() * margin.size()));
  OriginText out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n", Origin::kTemplate);
    if (i == 0 ? first : blank || !lines[i].empty()) out.Append(margin);
    out.Append(lines[i]);
  }
  return Like(input, std::move(out));
}

Result CenterFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"width"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, arguments.Integer(0, "width", 80));
  QUIRE_ASSIGN_OR_RETURN(OriginText text, Pad(Print(input), width, 0, " "));
  return Like(input, std::move(text));
}

Result FormatFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    return Wrong("takes places or names, not both");
  Value::Entries entries;
  for (const auto& [name, value] : arguments.named)
    entries.emplace_back(OriginText(name, Origin::kTemplate), value);
  QUIRE_ASSIGN_OR_RETURN(const Value values, arguments.named.empty()
                                                 ? Value::MakeList(arguments.positional, ListKind::kTuple)
                                                 : Value::MakeMap(std::move(entries)));
  QUIRE_ASSIGN_OR_RETURN(OriginText text, FormatPercent(Print(input), values, input.Is<Markup>(), meter));
  return Like(input, std::move(text));
}

Result TruncateFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(4, {"length", "killwords", "end", "leeway"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t length, arguments.Integer(0, "length", 255));
  const Value* given = arguments.Get(2, "end");
  const OriginText end = given == nullptr ? OriginText("...", Origin::kTemplate) : Print(*given);
  int64_t leeway = 5;
  if (arguments.GetUnlessNone(3, "leeway") != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(leeway, arguments.Integer(3, "leeway", 5));
  }
  const int64_t kept = length - CharCount(end.text());
  if (kept < 0 || leeway < 0) return Wrong("the length or leeway is too small");
  QUIRE_ASSIGN_OR_RETURN(const int64_t count, Length(input));
  if (count <= length + leeway) return input;
  if (input.AsText() == nullptr) return Wrong("needs a string");
  const OriginText& text = *input.AsText();
  OriginText out = SliceText(text, 0, kept, 1);
  if (!arguments.Flag(1, "killwords", false)) {
    out = out.Substr(0, std::min(out.text().rfind(' '), out.size()));
  }
  out.Append(end);
  return Like(input, std::move(out));
}

Result WordCountFilter(const Value& input, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  const OriginText text = Print(input);
  int64_t words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text.text(), at);
    const bool is_word = IsWord(character.code_point);
    words += is_word && !in_word;
    in_word = is_word;
    at += character.bytes;
  }
  return Value(words);
}

OriginText UrlQuote(const OriginText& text, bool in_query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  OriginText out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text.text()[i]);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    const std::string quoted = plain                  ? std::string(1, static_cast<char>(c))
                               : in_query && c == ' ' ? "+"
                                                      : std::string{'%', kHex[c >> 4], kHex[c & 15]};
    out.Append(quoted, text.OriginAt(i));
  }
  return out;
}

Result UrlEncodeFilter(const Value& input, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  const bool is_list = input.AsList() != nullptr || input.Is<IteratorRef>();
  if (input.AsMap() == nullptr && !is_list) return Value(UrlQuote(Print(input), false));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(input, meter));
  OriginText out;
  for (const Value& pair : pairs) {
    const Value* value = input.AsMap() == nullptr ? nullptr : input.AsMap()->Find(pair);
    std::vector<Value> parts = {pair, value == nullptr ? Value() : *value};
    if (value == nullptr) {
      QUIRE_ASSIGN_OR_RETURN(parts, Iterate(pair, meter));
      if (parts.size() != 2) return Wrong("needs pairs");
    }
    if (!out.empty()) out.Append("&", Origin::kUser);
    out.Append(UrlQuote(Print(parts[0]), true));
    out.Append("=", Origin::kUser);
    out.Append(UrlQuote(Print(parts[1]), true));
  }
  return Value(std::move(out));
}

}  // namespace

const FilterTable& TextFilters() {
  static const FilterTable filters = {{"string", StringFilter},
                                      {"safe", SafeFilter},
                                      {"escape", EscapeFilter},
                                      {"e", EscapeFilter},
                                      {"forceescape", ForceEscapeFilter},
                                      {"upper", CaseFilter<Case::kUpper>},
                                      {"lower", CaseFilter<Case::kLower>},
                                      {"capitalize", CaseFilter<Case::kCapitalize>},
                                      {"title", TitleFilter},
                                      {"trim", TrimFilter},
                                      {"replace", ReplaceFilter},
                                      {"indent", IndentFilter},
                                      {"center", CenterFilter},
                                      {"format", FormatFilter},
                                      {"truncate", TruncateFilter},
                                      {"wordcount", WordCountFilter},
                                      {"urlencode", UrlEncodeFilter}};
  return filters;
}

}  // namespace quire::gateway::jinja
