// Finds added tokens in text. Owned by Tokenizer; immutable, any thread. Always: a match lies wholly in
// template bytes (user text is never parsed for special tokens); leftmost first, of several the longest, as
// Hugging Face does.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "absl/status/status.h"
#include "base/core/tokenizer_file.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway {

class AddedTokenFinder {
 public:
  // Of two with the same content the first counts.
  void Add(AddedToken token);
  bool empty() const { return by_content_.empty(); }

  // Calls on_text for each stretch between added tokens (never empty) and on_token for each of them, in
  // order.
  using OnText = std::function<absl::Status(const OriginText& text)>;
  using OnToken = std::function<void(TokenId id)>;
  absl::Status Split(const OriginText& text, const OnText& on_text, const OnToken& on_token) const;

 private:
  const AddedToken* Match(const OriginText& text, size_t at) const;

  absl::flat_hash_map<std::string, AddedToken> by_content_;
  // The lengths of those contents that start with a byte, longest first: a look-up each.
  std::array<std::vector<size_t>, 256> lengths_;
};

}  // namespace quire::gateway
