#include "worker/grammar/structural_tag.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

using Json = nlohmann::json;

// xgrammar unrolls no more of a repetition.
constexpr int64_t kUnrolled = 256;

class TagReader {
 public:
  // A schema is no format: it names no token.
  void Read(const Json& value) {
    if (value.is_array()) {
      for (const Json& element : value) Read(element);
    }
    if (!value.is_object()) return;
    ReadFormat(value);
    for (const auto& [key, member] : value.items()) {
      if (key != "json_schema") Read(member);
    }
  }

  int64_t watched() const { return watched_; }
  StructuralTag tag() && { return std::move(tag_); }

 private:
  void ReadFormat(const Json& format) {
    const std::string type = JsonString(JsonMember(format, "type"));
    if (type == "token") Name(JsonMember(format, "token"));
    for (const Json& id : Array(format, "trigger_tokens")) Name(id);
    if (type == "token_dispatch") {
      for (const Json& rule : Array(format, "rules")) {
        if (rule.is_array() && !rule.empty()) Name(rule[0]);
      }
    }
    // Also without a type, which xgrammar guesses then.
    if (const Json& grammar = JsonMember(format, "grammar"); grammar.is_string()) {
      tag_.grammars.push_back(JsonString(grammar));
    }
    for (const char* watched : {"triggers", "excludes", "rules", "end"}) {
      watched_ += std::ssize(Array(format, watched));
    }
  }

  static const Json& Array(const Json& format, const char* key) {
    static const Json kNone = Json::array();
    const Json& member = JsonMember(format, key);
    return member.is_array() ? member : kNone;
  }

  void Name(const Json& id) {
    if (!id.is_number_unsigned()) return;
    constexpr uint64_t kMax = std::numeric_limits<TokenId>::max();
    if (id.get<uint64_t>() <= kMax) tag_.ids.push_back(static_cast<TokenId>(id.get<uint64_t>()));
  }

  StructuralTag tag_;
  int64_t watched_ = 0;
};

// Behind the closing quote or bracket.
size_t SkipQuoted(std::string_view text, size_t at, char end) {
  while (++at < text.size() && text[at] != end) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// Of {n}, {n,} or {n,m}, at its bracket: the largest number, as far as it counts.
int64_t RepeatsAt(std::string_view text, size_t at) {
  int64_t most = 0, number = 0;
  for (++at; at < text.size() && text[at] != '}'; ++at) {
    if (text[at] >= '0' && text[at] <= '9') {
      number = std::min<int64_t>(kUnrolled, 10 * number + (text[at] - '0'));
      most = std::max(most, number);
    } else {
      number = 0;
    }
  }
  return most;
}

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
}

// What stands before the bracket; empty where that is no name.
std::string_view NameBefore(std::string_view text, size_t at) {
  size_t begin = at;
  while (begin > 0 && IsNameByte(text[begin - 1])) --begin;
  return text.substr(begin, at - begin);
}

void CountSet(std::string_view ebnf, size_t at, GrammarSize& size) {
  ++size.repeats;
  if (size.macro.empty() && !NameBefore(ebnf, at).empty()) size.macro = "a rule's attribute";
}

void CountCall(std::string_view ebnf, size_t at, GrammarSize& size) {
  const std::string_view name = NameBefore(ebnf, at);
  if (size.macro.empty() && name != "Token" && name != "ExcludeToken") size.macro = std::string(name);
}

template <typename... Parts>
absl::Status TooLarge(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("grammar: ", parts..., ": simplify it"));
}

}  // namespace

absl::StatusOr<StructuralTag> ReadStructuralTag(std::string_view source) {
  using Bounds = StructuralTagBounds;
  if (source.size() > Bounds::kMaxBytes) {
    return TooLarge("its source has more than ", Bounds::kMaxBytes, " bytes");
  }
  if (JsonDepth(source) > Bounds::kMaxDepth) {
    return TooLarge("its source is nested deeper than ", Bounds::kMaxDepth);
  }
  const Json json = ParseJsonText(source);
  if (!json.is_object()) return absl::InvalidArgumentError("grammar: its source is no JSON object");
  TagReader reader;
  reader.Read(json);
  if (reader.watched() > Bounds::kMaxWatched) {
    return TooLarge("it has more than ", Bounds::kMaxWatched, " triggers, ends and excludes");
  }
  return std::move(reader).tag();
}

absl::Status GrammarSize::Check() const {
  if (bytes > kMaxBytes) return TooLarge("its rules have more than ", kMaxBytes, " bytes");
  if (rules > kMaxRules) return TooLarge("it has more than ", kMaxRules, " rules");
  if (repeats > kMaxRepeats) {
    return TooLarge(
        "its sets of characters and repetitions (minLength, maxLength, {n,m} and the like) come to more "
        "than ",
        kMaxRepeats);
  }
  if (longest > kMaxTimes) return TooLarge("it repeats something more than ", kMaxTimes, " times");
  return absl::OkStatus();
}

absl::Status GrammarSize::CheckWithin() const {
  if (!macro.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("grammar: ", macro, " is not taken: say it by rules"));
  }
  return Check();
}

GrammarSize SizeOf(std::string_view ebnf) {
  GrammarSize size{.bytes = ebnf.size()};
  for (size_t at = 0; at < ebnf.size();) {
    switch (ebnf[at]) {
      case '"':
        at = SkipQuoted(ebnf, at, '"');
        continue;
      case '[':
        CountSet(ebnf, at, size);
        at = SkipQuoted(ebnf, at, ']');
        continue;
      case '\n':
        ++size.rules;
        break;
      case '(':
        CountCall(ebnf, at, size);
        break;
      case '{': {
        const int64_t times = RepeatsAt(ebnf, at);
        size.repeats += times;
        size.longest = std::max(size.longest, times);
        break;
      }
      default:
        break;
    }
    ++at;
  }
  return size;
}

}  // namespace quire::worker
