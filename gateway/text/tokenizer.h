// The checkpoint's own byte-level BPE, as its tokenizer.json describes it; nothing is assumed per family.
// Owned by TextModel; immutable after Create, so any thread may call it. Always: an added token (special or
// not) comes only out of template bytes, never out of user bytes, while BPE runs across origins between added
// tokens; for benign text the ids equal Hugging Face's.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"
#include "gateway/text/encode_limits.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway {

class Tokenizer {
 public:
  // The contents of the two files; tokenizer_config may be empty.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Create(std::string_view tokenizer_json,
                                                                 std::string_view tokenizer_config_json);
  ~Tokenizer();

  // INVALID_ARGUMENT for text that is not UTF-8, and what `limits` say. Adds no BOS: chat templates render
  // their own.
  absl::StatusOr<std::vector<TokenId>> Encode(const OriginText& text, const EncodeLimits& limits = {}) const;
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, Origin origin,
                                              const EncodeLimits& limits = {}) const;

  // The largest id + 1; the model's logits may be wider.
  TokenId vocabulary_size() const;
  // The bytes that `id` stands for; empty for ids that the vocabulary lacks.
  std::string_view BytesOf(TokenId id) const;
  // The id of an added token, by its literal ("<|im_end|>").
  std::optional<TokenId> AddedToken(std::string_view literal) const;
  // In the control set: any added token, flagged special or not; never comes out of user bytes.
  bool IsControl(TokenId id) const;
  // Flagged special: what skip_special_tokens leaves out.
  bool IsSpecial(TokenId id) const;
  // What the file's post-processor puts before a plain text (BOS, where the checkpoint wants one).
  std::span<const TokenId> prefix_ids() const;
  // eos_token of tokenizer_config.json.
  std::optional<TokenId> eos_id() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace quire::gateway
