#include "gateway/text/jinja/lexer.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/unicode.h"

namespace quire::gateway::jinja {
namespace {

constexpr char kSpaces[] = " \t\n\r\f\v";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// \r\n and \r become \n, and one newline at the end goes, as Jinja has it.
std::string NormalizeLines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) QUIRE_RETURN_IF_ERROR(NextTag());
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  absl::Status Error(std::string_view problem) const { return TemplateError(line_, problem); }
  void Add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool LooksAt(std::string_view what) const { return source_.compare(at_, what.size(), what) == 0; }
  void Advance(size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + at_, source_.begin() + at_ + count, '\n'));
    at_ += count;
  }
  void SkipSpaces() { Advance(std::min(source_.find_first_not_of(kSpaces, at_), source_.size()) - at_); }

  // The text up to the next tag, then the tag.
  absl::Status NextTag() {
    size_t open = at_;
    while (true) {
      open = source_.find('{', open);
      if (open == std::string::npos) {
        AddText(source_.size(), '\0', '\0');
        return absl::OkStatus();
      }
      const char kind = open + 1 < source_.size() ? source_[open + 1] : '\0';
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++open;
    }
    const char kind = source_[open + 1];
    const char next = open + 2 < source_.size() ? source_[open + 2] : '\0';
    const char sign = next == '-' || next == '+' ? next : '\0';
    AddText(open, kind, sign);
    Advance(sign == '\0' ? 2 : 3);
    if (kind == '#') return Comment();
    if (kind == '%' && SkipWord("raw")) return Raw();
    Add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
    return Tag(kind == '{');
  }

  // Emits source_[at_, end) less the white space that the tag behind it takes away.
  void AddText(size_t end, char kind, char sign) {
    std::string text = source_.substr(at_, end - at_);
    if (sign == '-') {
      text.erase(text.find_last_not_of(kSpaces) + 1);
    } else if (sign != '+' && (kind == '%' || kind == '#')) {
      const size_t newline = text.rfind('\n');
      const size_t line_start = newline == std::string::npos ? 0 : newline + 1;
      const bool at_line_start = newline != std::string::npos || line_starting_;
      if (at_line_start && text.find_first_not_of(kSpaces, line_start) == std::string::npos)
        text.erase(line_start);
    }
    if (!text.empty()) Add(TokenKind::kText, std::move(text));
    Advance(end - at_);
    line_starting_ = false;
  }

  // After a tag's end: "-" eats all white space, else a block's end eats one newline (trim_blocks).
  void EndTag(std::string_view end, bool trims_newline) {
    Advance(end.size());
    if (end[0] == '-') {
      SkipSpaces();
    } else if (end[0] != '+' && trims_newline && LooksAt("\n")) {
      Advance(1);
    }
    line_starting_ = source_[at_ - 1] == '\n';
  }

  absl::Status Comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return Error("a comment is not closed with #}");
    const bool has_sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    Advance(end - at_ - (has_sign ? 1 : 0));
    EndTag(has_sign ? std::string_view(source_).substr(at_, 3) : "#}", true);
    return absl::OkStatus();
  }

  // Skips `word` and the end of its tag ("-%}" or "%}"), if they stand here; a "-" also takes the spaces
  // behind.
  bool SkipWord(std::string_view word) {
    size_t at = std::min(source_.find_first_not_of(kSpaces, at_), source_.size());
    if (source_.compare(at, word.size(), word) != 0) return false;
    at = std::min(source_.find_first_not_of(kSpaces, at + word.size()), source_.size());
    const bool has_sign = at < source_.size() && (source_[at] == '-' || source_[at] == '+');
    if (source_.compare(at + has_sign, 2, "%}") != 0) return false;
    const bool eats = source_[at] == '-';
    Advance(at + has_sign + 2 - at_);
    if (eats) SkipSpaces();
    return true;
  }

  // Text as it is up to {% endraw %}.
  absl::Status Raw() {
    line_starting_ = source_[at_ - 1] == '\n';
    for (size_t open = at_; (open = source_.find("{%", open)) != std::string::npos; ++open) {
      const char next = open + 2 < source_.size() ? source_[open + 2] : '\0';
      const char sign = next == '-' || next == '+' ? next : '\0';
      const size_t back = at_;
      const int back_line = line_;
      at_ = open + (sign == '\0' ? 2 : 3);
      const bool ends = SkipWord("endraw");
      const size_t end = std::exchange(at_, back);
      line_ = back_line;
      if (!ends) continue;
      AddText(open, '%', sign);
      Advance(end - at_);
      const bool keeps_line = source_[end - 3] == '-' || source_[end - 3] == '+' || source_[end - 1] != '}';
      if (!keeps_line && LooksAt("\n")) Advance(1);
      line_starting_ = source_[at_ - 1] == '\n';
      return absl::OkStatus();
    }
    return Error("{% raw %} is not closed with {% endraw %}");
  }

  absl::Status Tag(bool is_output) {
    const std::string_view close = is_output ? "}}" : "%}";
    int open_brackets = 0;
    while (true) {
      SkipSpaces();
      if (at_ == source_.size()) return Error(absl::StrCat("a tag is not closed with ", std::string(close)));
      const bool signed_end = (source_[at_] == '-' || (source_[at_] == '+' && !is_output)) &&
                              source_.compare(at_ + 1, 2, close) == 0;
      if (open_brackets == 0 && (signed_end || LooksAt(close))) {
        Add(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "");
        EndTag(std::string_view(source_).substr(at_, signed_end ? 3 : 2), !is_output);
        return absl::OkStatus();
      }
      QUIRE_RETURN_IF_ERROR(TagToken(open_brackets));
    }
  }

  absl::Status TagToken(int& open_brackets) {
    const char c = source_[at_];
    if (c == '"' || c == '\'') return String(c);
    if (IsDigit(c)) return Number();
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && (IsNameStart(source_[end]) || IsDigit(source_[end]))) ++end;
      Add(TokenKind::kName, source_.substr(at_, end - at_));
      Advance(end - at_);
      return absl::OkStatus();
    }
    for (const std::string_view two : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!LooksAt(two)) continue;
      Add(TokenKind::kOperator, std::string(two));
      Advance(2);
      return absl::OkStatus();
    }
    if (std::string_view("+-*/%~[](){}<>=.:|,").find(c) == std::string_view::npos) {
      return Error(absl::StrCat("unexpected character '", std::string(1, c), "'"));
    }
    if (c == '(' || c == '[' || c == '{') ++open_brackets;
    if ((c == ')' || c == ']' || c == '}') && --open_brackets < 0) {
      return Error(absl::StrCat("unexpected '", std::string(1, c), "'"));
    }
    Add(TokenKind::kOperator, std::string(1, c));
    Advance(1);
    return absl::OkStatus();
  }

  absl::Status Number() {
    size_t end = at_;
    const bool has_base = source_[at_] == '0' && at_ + 1 < source_.size() &&
                          std::string_view("xXoObB").find(source_[at_ + 1]) != std::string_view::npos;
    if (has_base) {
      for (end += 2; end < source_.size() &&
                     (std::isxdigit(static_cast<unsigned char>(source_[end])) || source_[end] == '_');)
        ++end;
      std::string text = source_.substr(at_, end - at_);
      std::erase(text, '_');
      Add(TokenKind::kInteger, std::move(text));
      Advance(end - at_);
      return absl::OkStatus();
    }
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 is a[0][1]
    const auto digits = [&] {
      while (end < source_.size() && (IsDigit(source_[end]) || source_[end] == '_')) ++end;
    };
    digits();
    const size_t integer_end = end;
    if (!after_dot && end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) {
      ++end;
      digits();
    }
    size_t exponent = end;
    if (exponent < source_.size() && (source_[exponent] == 'e' || source_[exponent] == 'E')) {
      ++exponent;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && IsDigit(source_[exponent])) {
        end = exponent;
        digits();
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    Add(end == integer_end ? TokenKind::kInteger : TokenKind::kFloat, std::move(text));
    Advance(end - at_);
    return absl::OkStatus();
  }

  absl::Status String(char quote) {
    std::string value;
    size_t end = at_ + 1;
    for (; end < source_.size() && source_[end] != quote; ++end) {
      if (source_[end] != '\\') {
        value += source_[end];
      } else {
        QUIRE_RETURN_IF_ERROR(Escape(end, value));
      }
    }
    if (end >= source_.size()) return Error("a string is not closed");
    Add(TokenKind::kString, std::move(value));
    Advance(end + 1 - at_);
    return absl::OkStatus();
  }

  // source_[at] is a backslash; leaves `at` on the escape's last character.
  absl::Status Escape(size_t& at, std::string& value) {
    static constexpr std::string_view kFrom = "nrtbfva\\'\"";
    static constexpr std::string_view kTo = "\n\r\t\b\f\v\a\\'\"";
    if (++at >= source_.size()) return Error("a string is not closed");
    const char c = source_[at];
    if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
      value += kTo[simple];
      return absl::OkStatus();
    }
    if (c == '\n') return absl::OkStatus();  // a line continued
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      value += {'\\', c};  // Python keeps what it does not know
      return absl::OkStatus();
    }
    const std::string hex = source_.substr(at + 1, digits);
    if (hex.size() != digits || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      return Error("a \\x, \\u or \\U escape lacks its hexadecimal digits");
    }
    const unsigned long code_point = std::stoul(hex, nullptr, 16);
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
      return Error("an escape is no Unicode character");
    }
    AppendCharacter(static_cast<uint32_t>(code_point), value);
    at += digits;
    return absl::OkStatus();
  }

  const std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status TemplateError(int line, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", std::string(problem)));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(NormalizeLines(source)).Run();
}

}  // namespace quire::gateway::jinja
