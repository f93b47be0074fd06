#define PCRE2_CODE_UNIT_WIDTH 8
#include "gateway/text/splitter.h"

#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kMatchLimit = 50'000'000;  // enough for one run of a few MB, seconds at most
constexpr uint32_t kHeapLimitKib = 64 << 10;

absl::Status PatternError(const std::string& pattern, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: pre_tokenizer: the pattern ",
                                                 pattern.substr(0, 200), ": ", std::string(problem)));
}

// Oniguruma's \s is White_Space, PCRE2's has U+180E too; of \w and \b the two have different ideas.
absl::StatusOr<std::string> Translate(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += "\\p{White_Space}";
    } else if (escaped == 'S') {
      out += "\\P{White_Space}";
    } else if (escaped == 'w' || escaped == 'W' || escaped == 'b' || escaped == 'B') {
      return PatternError(pattern, absl::StrCat("\\", std::string(1, escaped), " is not supported"));
    } else {
      out += {'\\', escaped};
    }
  }
  return out;
}

std::string Pcre2Message(int error) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(error, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

}  // namespace

void Splitter::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Splitter::FreeContext::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free(context);
}

absl::StatusOr<Splitter> Splitter::Create(const std::string& pattern) {
  if (pattern.size() > kMaxPatternBytes) return PatternError(pattern, "is too long");
  QUIRE_ASSIGN_OR_RETURN(const std::string translated, Translate(pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
  Splitter splitter;
  splitter.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                     options, &error, &offset, nullptr));
  if (splitter.code_ == nullptr) return PatternError(pattern, Pcre2Message(error));
  pcre2_jit_compile(splitter.code_.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not other
  splitter.context_.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(splitter.context_.get(), kMatchLimit);
  pcre2_set_heap_limit(splitter.context_.get(), kHeapLimitKib);
  return splitter;
}

absl::Status Splitter::Split(std::string_view text, const Emit& emit) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t emitted = 0;
  for (size_t from = 0; from < text.size();) {
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int found = pcre2_match(code_.get(), subject, text.size(), from, options, match.get(), context_.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      options |= PCRE2_NO_JIT;
      found = pcre2_match(code_.get(), subject, text.size(), from, options, match.get(), context_.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the text can't be split into words (", Pcre2Message(found), "); shorten it"));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    const size_t start = bounds[0], end = bounds[1];
    if (end <= start) {  // nothing matched here: look from the next character on
      if (start >= text.size()) break;
      from = start + CharacterAt(text, start).bytes;
      continue;
    }
    if (start > emitted) QUIRE_RETURN_IF_ERROR(emit(text.substr(emitted, start - emitted)));
    QUIRE_RETURN_IF_ERROR(emit(text.substr(start, end - start)));
    emitted = from = end;
  }
  if (emitted < text.size()) return emit(text.substr(emitted));
  return absl::OkStatus();
}

}  // namespace quire::gateway
