#include "gateway/text/tokenizer.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "base/core/status.h"
#include "base/core/tokenizer_file.h"
#include "gateway/text/added_tokens.h"
#include "gateway/text/bpe.h"
#include "gateway/text/config_files.h"
#include "gateway/text/splitter.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {

struct Tokenizer::Impl {
  explicit Impl(TokenizerFile parsed) : file(std::move(parsed)), bpe(file) {}

  TokenizerFile file;
  Bpe bpe;
  std::vector<Splitter> splitters;
  AddedTokenFinder raw_added;         // looked for in the text as it comes
  AddedTokenFinder normalized_added;  // looked for after the normalizer
  absl::flat_hash_map<std::string, TokenId> added_by_literal;
  absl::flat_hash_map<TokenId, bool> added_is_special;
  std::optional<TokenId> eos_id;
};

namespace {

// One Encode call: the stages of Hugging Face's pipeline, each handing pieces to the next.
class Encoding {
 public:
  Encoding(const Bpe& bpe, const std::vector<Splitter>& splitters, const EncodeLimits& limits)
      : bpe_(bpe), splitters_(splitters), limits_(limits) {}

  absl::Status Words(std::string_view text, size_t stage = 0) {
    if (stage == splitters_.size()) return Word(text);
    return splitters_[stage].Split(text, [&](std::string_view piece) { return Words(piece, stage + 1); });
  }

  std::vector<TokenId>& ids() { return ids_; }

 private:
  absl::Status Word(std::string_view word) {
    if (words_++ % kWordsPerQuestion == 0 && limits_.gone())
      return absl::CancelledError("nobody waits for it");
    return bpe_.Encode(word, limits_, scratch_, ids_);
  }

  // Between two questions whether the client has left: about a millisecond.
  static constexpr size_t kWordsPerQuestion = 1024;

  const Bpe& bpe_;
  const std::vector<Splitter>& splitters_;
  const EncodeLimits& limits_;
  size_t words_ = 0;
  Bpe::Scratch scratch_;
  std::vector<TokenId> ids_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Create(std::string_view tokenizer_json,
                                                                   std::string_view tokenizer_config_json) {
  QUIRE_ASSIGN_OR_RETURN(TokenizerFile file, ParseTokenizerFile(tokenizer_json));
  auto impl = std::make_unique<Impl>(std::move(file));
  for (const std::string& pattern : impl->file.split_patterns) {
    QUIRE_ASSIGN_OR_RETURN(Splitter splitter, Splitter::Create(pattern));
    impl->splitters.push_back(std::move(splitter));
  }
  for (quire::AddedToken token : impl->file.added_tokens) {
    impl->added_by_literal[token.content] = token.id;
    impl->added_is_special[token.id] = token.special;
    if (token.normalized && impl->file.normalize_nfc) {
      token.content = NormalizeNfc(OriginText(token.content, Origin::kTemplate)).text();
    }
    (token.normalized ? impl->normalized_added : impl->raw_added).Add(std::move(token));
  }
  QUIRE_ASSIGN_OR_RETURN(const TokenizerConfig config, ParseTokenizerConfig(tokenizer_config_json));
  if (config.eos_token) {
    const auto found = impl->added_by_literal.find(*config.eos_token);
    if (found != impl->added_by_literal.end()) impl->eos_id = found->second;
  }
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(const OriginText& text,
                                                       const EncodeLimits& limits) const {
  if (!IsValidUtf8(text.text())) return absl::InvalidArgumentError("the text is not valid UTF-8");
  Encoding encoding(impl_->bpe, impl_->splitters, limits);
  const auto on_token = [&](TokenId id) { encoding.ids().push_back(id); };
  const auto on_words = [&](const OriginText& words) { return encoding.Words(words.text()); };
  const auto on_section = [&](const OriginText& section) {
    const OriginText normal = impl_->file.normalize_nfc ? NormalizeNfc(section) : section;
    return impl_->normalized_added.Split(normal, on_words, on_token);
  };
  QUIRE_RETURN_IF_ERROR(impl_->raw_added.Split(text, on_section, on_token));
  if (encoding.ids().size() > limits.max_tokens) return absl::ResourceExhaustedError("too many tokens");
  return std::move(encoding.ids());
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text, Origin origin,
                                                       const EncodeLimits& limits) const {
  return Encode(OriginText(std::string(text), origin), limits);
}

TokenId Tokenizer::vocabulary_size() const { return static_cast<TokenId>(impl_->file.token_bytes.size()); }

std::string_view Tokenizer::BytesOf(TokenId id) const {
  if (id < 0 || id >= vocabulary_size()) return {};
  return impl_->file.token_bytes[id];
}

std::optional<TokenId> Tokenizer::AddedToken(std::string_view literal) const {
  const auto found = impl_->added_by_literal.find(absl::string_view(literal.data(), literal.size()));
  if (found == impl_->added_by_literal.end()) return std::nullopt;
  return found->second;
}

bool Tokenizer::IsControl(TokenId id) const {
  if (!impl_->added_is_special.contains(id)) return false;
  // A single byte's token stands for that byte in any text, even where a file lists it as added.
  const auto& bytes = impl_->file.byte_tokens;
  return std::find(bytes.begin(), bytes.end(), id) == bytes.end();
}

bool Tokenizer::IsSpecial(TokenId id) const {
  const auto found = impl_->added_is_special.find(id);
  return found != impl_->added_is_special.end() && found->second;
}

std::span<const TokenId> Tokenizer::prefix_ids() const { return impl_->file.prefix_ids; }

std::optional<TokenId> Tokenizer::eos_id() const { return impl_->eos_id; }

}  // namespace quire::gateway
