// Python's methods of strings. A method of a markup gives markup.
#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/format.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

struct Call {
  const OriginText& text;
  const std::string& name;
  const Arguments& arguments;
  bool is_markup;
  Meter& meter;

  Value Made(OriginText made) const {
    return is_markup ? Value::MarkupText(std::move(made)) : Value(std::move(made));
  }
  Result MadeList(std::vector<OriginText> texts, ListKind kind = ListKind::kList) const {
    std::vector<Value> items;
    items.reserve(texts.size());
    for (OriginText& made : texts) items.push_back(Made(std::move(made)));
    return Value::MakeList(std::move(items), kind);
  }
};

// An argument that must be text, or null if it is absent or None.
absl::StatusOr<const OriginText*> OptionalText(const Arguments& arguments, size_t place,
                                               std::string_view name) {
  const Value* value = arguments.GetUnlessNone(place, name);
  if (value == nullptr) return nullptr;
  if (value->AsText() == nullptr) return Wrong("needs a string");
  return value->AsText();
}

absl::StatusOr<const OriginText*> NeededText(const Arguments& arguments, size_t place) {
  if (place >= arguments.positional.size() || arguments.positional[place].AsText() == nullptr) {
    return Wrong("needs a string");
  }
  return arguments.positional[place].AsText();
}

Result Strip(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {}));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* characters, OptionalText(call.arguments, 0, ""));
  const Side side = call.name == "lstrip" ? Side::kLeft : call.name == "rstrip" ? Side::kRight : Side::kBoth;
  const auto wanted =
      characters == nullptr ? std::nullopt : std::optional<std::string_view>(characters->text());
  return call.Made(jinja::Strip(call.text, side, wanted));
}

Result Split(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(2, {"sep", "maxsplit"}));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* separator, OptionalText(call.arguments, 0, "sep"));
  QUIRE_ASSIGN_OR_RETURN(const int64_t limit, call.arguments.Integer(1, "maxsplit", -1));
  if (separator != nullptr && separator->empty()) return Wrong("the separator is empty");
  const auto at = separator == nullptr ? std::nullopt : std::optional<std::string_view>(separator->text());
  return call.MadeList(SplitText(call.text, at, limit, call.name == "rsplit"));
}

Result Lines(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {"keepends"}));
  return call.MadeList(SplitLines(call.text, call.arguments.Flag(0, "keepends", false)));
}

Result Partition(const Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const OriginText* separator, NeededText(call.arguments, 0));
  if (separator->empty()) return Wrong("the separator is empty");
  const bool from_end = call.name == "rpartition";
  const size_t at =
      from_end ? call.text.text().rfind(separator->text()) : call.text.text().find(separator->text());
  if (at == std::string::npos) {
    std::vector<OriginText> parts(3);
    parts[from_end ? 2 : 0] = call.text;
    return call.MadeList(std::move(parts), ListKind::kTuple);
  }
  return call.MadeList({call.text.Substr(0, at), call.text.Substr(at, separator->size()),
                        call.text.Substr(at + separator->size())},
                       ListKind::kTuple);
}

// The part that the optional start and end arguments leave, and where in characters it starts; none if they
// leave less than nothing, in which not even "" is found.
struct Window {
  OriginText text;
  int64_t start;
};
absl::StatusOr<std::optional<Window>> WindowOf(const Call& call) {
  const int64_t count = call.arguments.positional.size() > 1 ? CharCount(call.text.text()) : 0;
  if (call.arguments.positional.size() < 2) return Window{call.text, 0};
  QUIRE_ASSIGN_OR_RETURN(int64_t start, call.arguments.Integer(1, "", 0));
  QUIRE_ASSIGN_OR_RETURN(int64_t end, call.arguments.Integer(2, "", count));
  start = std::max<int64_t>(0, start < 0 ? start + count : start);
  end = std::clamp<int64_t>(end < 0 ? end + count : end, 0, count);
  if (start > end || start > count) return std::nullopt;
  return Window{SliceText(call.text, start, end, 1), start};
}

Result Affix(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(3, {}));
  if (call.arguments.positional.empty()) return Wrong("needs a string");
  const Value& affixes = call.arguments.positional[0];
  std::vector<Value> candidates;
  if (affixes.IsTuple()) candidates = affixes.AsList()->items;
  if (affixes.AsText() != nullptr) candidates = {affixes};
  if (!affixes.IsTuple() && candidates.empty()) return Wrong("needs a string or a tuple of strings");
  QUIRE_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(call));
  for (const Value& candidate : candidates) {
    if (candidate.AsText() == nullptr) return Wrong("needs strings");
    const std::string& affix = candidate.AsText()->text();
    if (!window) continue;
    const std::string& text = window->text.text();
    if (call.name == "startswith" ? text.starts_with(affix) : text.ends_with(affix)) return Value(true);
  }
  return Value(false);
}

Result RemoveAffix(const Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const OriginText* affix, NeededText(call.arguments, 0));
  const bool from_start = call.name == "removeprefix";
  const std::string& text = call.text.text();
  if (!(from_start ? text.starts_with(affix->text()) : text.ends_with(affix->text())))
    return call.Made(call.text);
  const size_t rest = text.size() - affix->size();
  return call.Made(from_start ? call.text.Substr(affix->size()) : call.text.Substr(0, rest));
}

// find, rfind, index, rindex.
Result Find(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(3, {}));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* wanted, NeededText(call.arguments, 0));
  QUIRE_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(call));
  size_t found = std::string::npos;
  if (window) {
    const std::string& text = window->text.text();
    found = call.name[0] == 'r' ? text.rfind(wanted->text()) : text.find(wanted->text());
  }
  if (found != std::string::npos) {
    return Value(window->start + CharCount(std::string_view(window->text.text()).substr(0, found)));
  }
  if (call.name.ends_with("index")) return Wrong("the string is not found");
  return Value(int64_t{-1});
}

Result Count(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(3, {}));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* wanted, NeededText(call.arguments, 0));
  QUIRE_ASSIGN_OR_RETURN(const std::optional<Window> window, WindowOf(call));
  if (!window) return Value(int64_t{0});
  if (wanted->empty()) return Value(CharCount(window->text.text()) + 1);
  return Value(static_cast<int64_t>(SplitText(window->text, wanted->text(), -1).size()) - 1);
}

Result ReplaceMethod(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(3, {"count"}));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* from, NeededText(call.arguments, 0));
  QUIRE_ASSIGN_OR_RETURN(const OriginText* to, NeededText(call.arguments, 1));
  QUIRE_ASSIGN_OR_RETURN(const int64_t limit, call.arguments.Integer(2, "count", -1));
  const bool escapes = call.is_markup && !call.arguments.positional[1].Is<Markup>();
  QUIRE_ASSIGN_OR_RETURN(OriginText replaced,
                         Replace(call.text, from->text(), escapes ? EscapeHtml(*to) : *to, limit));
  return call.Made(std::move(replaced));
}

Result Join(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {}));
  if (call.arguments.positional.empty()) return Wrong("needs what to join");
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.arguments.positional[0], call.meter));
  if (items.size() * (call.text.size() + 1) > kMaxValueBytes) return Wrong("a text becomes too long");
  OriginText out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].AsText() == nullptr && !call.is_markup) return Wrong("needs strings");
    if (i > 0) out.Append(call.text);
    const OriginText part = Print(items[i]);
    out.Append(call.is_markup && !items[i].Is<Markup>() ? EscapeHtml(part) : part);
  }
  return call.Made(std::move(out));
}

Result PadMethod(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(2, {}));
  if (call.arguments.positional.empty()) return Wrong("needs a width");
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, call.arguments.Integer(0, "", 0));
  std::string fill = " ";
  if (call.arguments.positional.size() > 1) {
    QUIRE_ASSIGN_OR_RETURN(const OriginText* given, NeededText(call.arguments, 1));
    fill = given->text();
  }
  if (CharCount(fill) != 1) return Wrong("needs one character to fill with");
  const int side = call.name == "ljust" ? -1 : call.name == "rjust" ? 1 : 0;
  QUIRE_ASSIGN_OR_RETURN(OriginText padded, Pad(call.text, width, side, fill));
  return call.Made(std::move(padded));
}

Result ZeroFill(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, call.arguments.Integer(0, "", 0));
  const bool is_signed = call.text.text().starts_with('-') || call.text.text().starts_with('+');
  OriginText out = call.text.Substr(0, is_signed ? 1 : 0);
  QUIRE_ASSIGN_OR_RETURN(const OriginText padded,
                         Pad(call.text.Substr(out.size()), width - is_signed, 1, "0"));
  out.Append(padded);
  return call.Made(std::move(out));
}

Result ExpandTabs(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {"tabsize"}));
  QUIRE_ASSIGN_OR_RETURN(const int64_t tab, call.arguments.Integer(0, "tabsize", 8));
  if (tab > 1000) return Wrong("the tab is too wide");
  OriginText out;
  int64_t column = 0;
  for (const OriginText& character : Characters(call.text)) {
    const char c = character.text()[0];
    if (c != '\t') {
      out.Append(character);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
      continue;
    }
    const int64_t width = tab > 0 ? tab - column % tab : 0;
    out.Append(std::string(width, ' '), character.OriginAt(0));
    column += width;
    if (out.size() > kMaxValueBytes) return Wrong("a text becomes too long");
  }
  return call.Made(std::move(out));
}

Result CaseMethod(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(0, {}));
  static const absl::flat_hash_map<std::string, Case> cases = {
      {"upper", Case::kUpper}, {"lower", Case::kLower},   {"capitalize", Case::kCapitalize},
      {"title", Case::kTitle}, {"swapcase", Case::kSwap}, {"casefold", Case::kFold}};
  return call.Made(ChangeCase(call.text, cases.at(call.name)));
}

Result Property(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(0, {}));
  return Value(HasProperty(call.text.text(), call.name).value_or(false));
}

Result Format(const Call& call) {
  QUIRE_ASSIGN_OR_RETURN(OriginText text,
                         FormatBraces(call.text, call.arguments, call.is_markup, call.meter));
  return call.Made(std::move(text));
}

Result FormatMap(const Call& call) {
  QUIRE_RETURN_IF_ERROR(call.arguments.Check(1, {}));
  if (call.arguments.positional.empty() || call.arguments.positional[0].AsMap() == nullptr) {
    return Wrong("needs a mapping");
  }
  Arguments fields;
  for (const auto& [key, value] : call.arguments.positional[0].AsMap()->entries) {
    if (key.AsText() != nullptr) fields.named.emplace_back(key.AsText()->text(), value);
  }
  QUIRE_ASSIGN_OR_RETURN(OriginText text, FormatBraces(call.text, fields, call.is_markup, call.meter));
  return call.Made(std::move(text));
}

const absl::flat_hash_map<std::string, Result (*)(const Call&)>& Methods() {
  static const absl::flat_hash_map<std::string, Result (*)(const Call&)> methods = {
      {"strip", Strip},
      {"lstrip", Strip},
      {"rstrip", Strip},
      {"split", Split},
      {"rsplit", Split},
      {"splitlines", Lines},
      {"partition", Partition},
      {"rpartition", Partition},
      {"startswith", Affix},
      {"endswith", Affix},
      {"removeprefix", RemoveAffix},
      {"removesuffix", RemoveAffix},
      {"find", Find},
      {"rfind", Find},
      {"index", Find},
      {"rindex", Find},
      {"count", Count},
      {"replace", ReplaceMethod},
      {"join", Join},
      {"center", PadMethod},
      {"ljust", PadMethod},
      {"rjust", PadMethod},
      {"zfill", ZeroFill},
      {"expandtabs", ExpandTabs},
      {"upper", CaseMethod},
      {"lower", CaseMethod},
      {"capitalize", CaseMethod},
      {"title", CaseMethod},
      {"swapcase", CaseMethod},
      {"casefold", CaseMethod},
      {"isalpha", Property},
      {"isdecimal", Property},
      {"isdigit", Property},
      {"isnumeric", Property},
      {"isspace", Property},
      {"isalnum", Property},
      {"isascii", Property},
      {"isprintable", Property},
      {"islower", Property},
      {"isupper", Property},
      {"istitle", Property},
      {"isidentifier", Property},
      {"format", Format},
      {"format_map", FormatMap}};
  return methods;
}

}  // namespace

bool HasTextMethod(const std::string& name) { return Methods().contains(name); }

Result CallTextMethod(const Value& object, const std::string& name, const Arguments& arguments,
                      Meter& meter) {
  return Methods().at(name)({*object.AsText(), name, arguments, object.Is<Markup>(), meter});
}

}  // namespace quire::gateway::jinja
