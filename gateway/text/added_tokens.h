// Finds added tokens in text. Owned by Tokenizer; immutable, any thread. Always: a match lies wholly in
// template bytes (user text is never parsed for special tokens); leftmost first, of several the longest, as
// Hugging Face does.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "base/core/tokenizer_file.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway {

class AddedTokenFinder {
 public:
  void Add(AddedToken token);
  bool empty() const { return tokens_.empty(); }

  // Calls on_text for each stretch between added tokens (never empty) and on_token for each of them, in
  // order.
  using OnText = std::function<absl::Status(const OriginText& text)>;
  using OnToken = std::function<void(TokenId id)>;
  absl::Status Split(const OriginText& text, const OnText& on_text, const OnToken& on_token) const;

 private:
  const AddedToken* Match(const OriginText& text, size_t at) const;

  std::vector<AddedToken> tokens_;
  // Indexes into tokens_ by the content's first byte, longest content first.
  std::array<std::vector<size_t>, 256> by_first_byte_;
};

}  // namespace quire::gateway
