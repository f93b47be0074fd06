// Byte-pair merging of one word. Owned by Tokenizer; immutable, any thread (each call brings its own
// scratch). Always: the lowest rank merges first, leftmost among equals, as Hugging Face does; O(n log n) in
// the word's bytes, and nothing is merged of a word that surely gives more tokens than it may; an added token
// is never the result.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/core/ids.h"
#include "base/core/tokenizer_file.h"
#include "gateway/text/encode_limits.h"

namespace quire::gateway {

class Bpe {
 public:
  explicit Bpe(const TokenizerFile& file);

  // Buffers that a caller keeps between words.
  struct Scratch {
    struct Symbol {
      TokenId token;
      int32_t previous, next;  // indexes of the living neighbours, -1 at the ends
    };
    struct Candidate {
      uint32_t rank;
      int32_t position;
      TokenId result;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the ids of `word` to `ids`, which has at most limits.max_tokens then; an error: see EncodeLimits.
  // Words of 2^31 bytes and more are not for it.
  absl::Status Encode(std::string_view word, const EncodeLimits& limits, Scratch& scratch,
                      std::vector<TokenId>& ids) const;

 private:
  struct Merge {
    uint32_t rank;
    TokenId result;
  };

  // What `word` becomes at least, whatever is merged.
  size_t LeastTokens(std::string_view word) const;
  // Fills scratch with the bytes' tokens and their merges; false where there is no token.
  bool Begin(std::string_view word, Scratch& scratch) const;
  // Whether merging all that can be leaves this token alone.
  bool MergesTo(std::string_view word, TokenId token, Scratch& scratch) const;
  const Merge* Find(TokenId left, TokenId right) const;
  // Takes the best candidate off the heap and, if it still holds, applies it.
  void MergeNext(Scratch& scratch) const;
  // Puts the merge of the symbol at `position` with its right neighbour on the heap, if there is one.
  void Propose(Scratch& scratch, int32_t position) const;
  // Merges the symbol at `position` with its right neighbour.
  void Apply(Scratch& scratch, int32_t position, TokenId result) const;

  std::array<TokenId, 256> byte_tokens_;
  // By byte: one over the size of the largest token that has it. No token holds more than 1 of it in all.
  std::array<double, 256> least_share_ = {};
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by (left << 32 | right)
  // Words that are a token, so that most words need no merge: all of them if the file says ignore_merges,
  // else those that merging arrives at.
  absl::flat_hash_map<std::string, TokenId> whole_words_;
};

}  // namespace quire::gateway
