// Token ids back to text, one at a time. One per choice of a request, one thread at a time; the tokenizer
// must outlive it. Always: what comes out is valid UTF-8, never half a character (a character whose bytes are
// spread over tokens comes with the last of them); bytes that are no UTF-8 become U+FFFD; all outputs joined
// equal Hugging Face's decode of all ids.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/core/ids.h"
#include "gateway/text/tokenizer.h"

namespace quire::gateway {

class Detokenizer {
 public:
  // `kept`: tokens that are text even where they are special.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens, std::vector<TokenId> kept = {})
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens), kept_(std::move(kept)) {}

  // The id has no text.
  bool Skips(TokenId id) const;

  // The text that this id completes; often empty in the midst of a character.
  std::string Push(TokenId id);
  // What is left at the end of the stream: U+FFFD for an unfinished character.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_tokens_;
  const std::vector<TokenId> kept_;
  std::string pending_;  // the bytes of an unfinished character: at most 3
};

}  // namespace quire::gateway
