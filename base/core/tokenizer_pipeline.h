// The part of a tokenizer.json around the model: normalizer, pre-tokenizer, decoder and post-processor.
// Internal to tokenizer_file.cc; the same rules hold (bounded, errors name the field, the unknown is
// refused). Pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/status.h"
#include "base/core/tokenizer_file.h"

namespace quire::tokenizer_internal {

// Fills normalize_nfc, split_patterns and prefix_ids from the parsed file.
absl::Status ReadPipeline(const nlohmann::json& root, TokenizerFile& out);

// "tokenizer.json: FIELD: PROBLEM"
absl::Status FieldError(std::string_view field, std::string_view problem);

// A member that is absent, null, false or "" (the ways of saying no).
bool Off(const nlohmann::json& value);

}  // namespace quire::tokenizer_internal
