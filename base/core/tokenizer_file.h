// Reads a Hugging Face tokenizer.json of the byte-level BPE kind into plain tables. The gateway builds its
// tokenizer from them, workers the vocabulary's bytes for grammars. The file comes from outside: everything
// is bounded and checked, an error names the field, and what this reader does not implement is refused, never
// ignored. A pure function, any thread. Always: every id in the result is below token_bytes.size().
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"

namespace quire {

inline constexpr TokenId kMaxVocabulary = 1 << 20;
inline constexpr TokenId kNoToken = -1;

struct AddedToken {
  TokenId id = kNoToken;
  std::string content;
  bool special = false;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
};

// Two neighbours become `result`; the place in TokenizerFile::merges is the rank.
struct MergeRule {
  TokenId left;
  TokenId right;
  TokenId result;
};

struct TokenizerFile {
  bool normalize_nfc = false;
  // Applied in order, each splitting every piece into its matches and what lies between (Hugging Face's
  // Isolated).
  std::vector<std::string> split_patterns;
  std::vector<AddedToken> added_tokens;
  std::vector<MergeRule> merges;
  // A piece that is one token of the vocabulary is taken whole, without merging.
  bool ignore_merges = false;
  // By id, vocabulary and added tokens; empty where an id has no token. Its size is the largest id + 1.
  std::vector<std::string> token_bytes;
  // The token of each single byte; kNoToken where the vocabulary has none (such bytes are dropped, as Hugging
  // Face does).
  std::array<TokenId, 256> byte_tokens;
  // What the post-processor puts before a single text.
  std::vector<TokenId> prefix_ids;
};

absl::StatusOr<TokenizerFile> ParseTokenizerFile(std::string_view json_text);

}  // namespace quire
