// What tokenizer_config.json and generation_config.json say, as plain values. The files come from outside:
// bounded, checked, errors name the field. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"

namespace quire::gateway {

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  // chat_template, if it is a string, or the list's entry named "default"; and the one named "tool_use".
  std::optional<std::string> chat_template;
  std::optional<std::string> tool_template;
};

// Empty text gives an empty config.
absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json_text);

// generation_config.json's sampling values; neutral where it has none or says do_sample: false.
struct GenerationDefaults {
  float temperature = 1;
  int top_k = 0;  // 0 = off
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
};

struct GenerationConfig {
  std::vector<TokenId> eos_ids;
  GenerationDefaults defaults;
  std::optional<TokenId> vocab_size;  // config.json's: the model's ids
  std::optional<std::string> dtype;   // config.json's, of the weights
};

// Reads generation_config.json, or of config.json the same fields. Empty text gives an empty config.
absl::StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view json_text, const char* file_name);

}  // namespace quire::gateway
