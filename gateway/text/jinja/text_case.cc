// Case and kinds of characters, as Python's str methods see them.
#include <utf8proc.h>

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "gateway/text/jinja/text.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

// Of Unicode's SpecialCasing, which utf8proc leaves out: letters whose upper case is several characters.
struct Special {
  int32_t code_point;
  const char* upper;
  const char* title;
};
constexpr Special kSpecials[] = {{0xDF, "SS", "Ss"},
                                 {0x149, "\u02BCN", "\u02BCN"},
                                 {0x1F0, "J\u030C", "J\u030C"},
                                 {0x587, "\u0535\u0552", "\u0535\u0582"},
                                 {0x1E96, "H\u0331", "H\u0331"},
                                 {0xFB00, "FF", "Ff"},
                                 {0xFB01, "FI", "Fi"},
                                 {0xFB02, "FL", "Fl"},
                                 {0xFB03, "FFI", "Ffi"},
                                 {0xFB04, "FFL", "Ffl"},
                                 {0xFB05, "ST", "St"},
                                 {0xFB06, "ST", "St"}};

bool IsUpper(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_LU; }
bool IsTitle(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_LT; }
bool IsLower(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA; }
bool IsCased(int32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

std::string Encode(int32_t c) {
  std::string out;
  AppendCharacter(c, out);
  return out;
}

const Special* SpecialOf(int32_t c) {
  const auto* found = std::find_if(std::begin(kSpecials), std::end(kSpecials),
                                   [c](const Special& special) { return special.code_point == c; });
  return found == std::end(kSpecials) ? nullptr : found;
}

std::string Upper(int32_t c, bool title) {
  if (const Special* special = c < 0xDF ? nullptr : SpecialOf(c))
    return title ? special->title : special->upper;
  return Encode(title ? utf8proc_totitle(c) : utf8proc_toupper(c));
}

// A sigma at a word's end has a form of its own.
bool EndsWord(std::string_view text, size_t at) {
  const auto letter = [](int32_t c) { return IsCased(c); };
  const bool before = at > 0 && letter(CharacterBefore(text, at).code_point);
  const size_t next = at + 2;
  return before && (next >= text.size() || !letter(CharacterAt(text, next).code_point));
}

std::string Lower(std::string_view text, size_t at, int32_t c) {
  if (c == 0x3A3 && EndsWord(text, at)) return "\u03C2";
  if (c == 0x130) return "i\u0307";
  return Encode(utf8proc_tolower(c));
}

std::string Fold(int32_t c) {
  utf8proc_int32_t folded[8];
  int boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
  std::string out;
  for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, 8); ++i) out += Encode(folded[i]);
  return out;
}

bool IsLetter(int32_t c) {
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool IsDecimal(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_ND; }
// Digits that are no decimals: superscripts, subscripts and numbers in circles.
bool IsDigit(int32_t c) {
  return IsDecimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468);
}
bool IsNumeric(int32_t c) {
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

template <typename Predicate>
bool All(std::string_view text, const Predicate& holds) {
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    if (!holds(character.code_point)) return false;
    at += character.bytes;
  }
  return true;
}

bool HasCase(std::string_view text, bool (*unwanted)(int32_t)) {
  bool any = false;
  const bool none_unwanted = All(text, [&](int32_t c) {
    any = any || IsCased(c);
    return !unwanted(c);
  });
  return any && none_unwanted;
}

bool IsTitleCased(std::string_view text) {
  bool in_word = false, any = false;
  const bool right = All(text, [&](int32_t c) {
    if (!IsCased(c)) {
      in_word = false;
      return true;
    }
    const bool fits = in_word ? IsLower(c) : !IsLower(c);
    in_word = any = true;
    return fits;
  });
  return right && any;
}

bool IsIdentifier(std::string_view text) {
  bool first = true;
  return !text.empty() && All(text, [&](int32_t c) {
    const bool fits = c == '_' || IsLetter(c) || (!first && IsWord(c));
    first = false;
    return fits;
  });
}

}  // namespace

bool IsPrintable(int32_t c) {
  const auto category = utf8proc_category(c);
  return c == ' ' || (category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS);
}

OriginText ChangeCase(const OriginText& text, Case to) {
  OriginText out;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text.text(), at);
    const int32_t c = character.code_point;
    const bool first = to == Case::kTitle ? !in_word : at == 0;
    const bool titles = (to == Case::kTitle || to == Case::kCapitalize) && first;
    const bool raises = titles || to == Case::kUpper || (to == Case::kSwap && IsLower(c));
    const bool keeps = to == Case::kSwap && !IsUpper(c) && !IsLower(c);
    const std::string changed = keeps               ? Encode(c)
                                : raises            ? Upper(c, titles)
                                : to == Case::kFold ? Fold(c)
                                                    : Lower(text.text(), at, c);
    out.Append(changed, text.OriginAt(at));
    in_word = IsCased(c);
    at += character.bytes;
  }
  return out;
}

std::optional<bool> HasProperty(std::string_view text, std::string_view method) {
  static const absl::flat_hash_map<std::string, bool (*)(int32_t)> kAll = {{"isalpha", IsLetter},
                                                                           {"isdecimal", IsDecimal},
                                                                           {"isdigit", IsDigit},
                                                                           {"isnumeric", IsNumeric},
                                                                           {"isspace", IsSpace},
                                                                           {"isalnum", [](int32_t c) { return IsLetter(c) || IsNumeric(c) || IsDigit(c); }}};
  if (const auto found = kAll.find(std::string(method)); found != kAll.end()) {
    return !text.empty() && All(text, found->second);
  }
  if (method == "isascii") return All(text, [](int32_t c) { return c < 0x80; });
  if (method == "isprintable") return All(text, IsPrintable);
  if (method == "islower") return HasCase(text, [](int32_t c) { return IsUpper(c) || IsTitle(c); });
  if (method == "isupper") return HasCase(text, [](int32_t c) { return IsLower(c) || IsTitle(c); });
  if (method == "istitle") return IsTitleCased(text);
  if (method == "isidentifier") return IsIdentifier(text);
  return std::nullopt;
}

}  // namespace quire::gateway::jinja
