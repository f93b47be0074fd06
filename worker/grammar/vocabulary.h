// What grammars are told of a checkpoint's tokens: the bytes that each stands for. Plain data, made once.
// What always holds: a special token, and an id that is none, is no text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"

namespace quire::worker {

struct Vocabulary {
  int64_t size = 0;                   // of the model's: its ids are below it
  std::vector<std::string> bytes;     // of each id of the tokenizer's; empty where it has none
  std::vector<TokenId> special = {};  // in order: no text, and named by their ids alone
};

// InvalidArgument says why no grammar can be followed with this tokenizer.json.
absl::StatusOr<Vocabulary> ReadVocabulary(std::string_view tokenizer_json, int64_t model_vocab);

}  // namespace quire::worker
