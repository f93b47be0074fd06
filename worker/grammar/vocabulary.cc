#include "worker/grammar/vocabulary.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/tokenizer_file.h"

namespace quire::worker {

absl::StatusOr<Vocabulary> ReadVocabulary(std::string_view tokenizer_json, int64_t model_vocab) {
  QUIRE_ASSIGN_OR_RETURN(TokenizerFile file, ParseTokenizerFile(tokenizer_json));
  if (std::ssize(file.token_bytes) > model_vocab) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json has ", file.token_bytes.size(), " ids, and the model ", model_vocab));
  }
  Vocabulary vocabulary{.size = model_vocab, .bytes = std::move(file.token_bytes)};
  for (const AddedToken& token : file.added_tokens) {
    if (token.special) vocabulary.special.push_back(token.id);
  }
  std::ranges::sort(vocabulary.special);
  return vocabulary;
}

}  // namespace quire::worker
