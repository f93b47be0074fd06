#include "worker/tokenizer_size.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/core/ids.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire::worker {

absl::StatusOr<int64_t> TokenizerSize(std::string_view tokenizer_json) {
  QUIRE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonFile(tokenizer_json, "tokenizer.json"));
  constexpr uint64_t kMaxId = std::numeric_limits<TokenId>::max() - 1;
  uint64_t size = 0;
  bool too_large = false;
  const auto take = [&](const nlohmann::json& id) {
    if (!id.is_number_unsigned()) return;
    too_large = too_large || id.get<uint64_t>() > kMaxId;
    size = std::max(size, std::min(id.get<uint64_t>(), kMaxId) + 1);
  };
  for (const auto& id : JsonMember(JsonMember(json, "model"), "vocab")) take(id);
  for (const auto& token : JsonMember(json, "added_tokens")) take(JsonMember(token, "id"));
  if (too_large) return absl::InvalidArgumentError("tokenizer.json has a token id that is too large");
  if (size > 0) return static_cast<int64_t>(size);
  return absl::InvalidArgumentError("tokenizer.json has no model.vocab with token ids");
}

}  // namespace quire::worker
