#include "worker/tokenizer_size.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace quire::worker {

absl::StatusOr<int64_t> TokenizerSize(std::string_view tokenizer_json) {
  const auto json = nlohmann::json::parse(tokenizer_json, nullptr, /*allow_exceptions=*/false);
  int64_t size = 0;
  const auto take = [&size](const nlohmann::json& id) {
    if (id.is_number_integer()) size = std::max(size, id.get<int64_t>() + 1);
  };
  if (json.is_object() && json.contains("model") && json["model"].is_object() &&
      json["model"].contains("vocab")) {
    for (const auto& id : json["model"]["vocab"]) take(id);
  }
  if (json.is_object() && json.contains("added_tokens")) {
    for (const auto& token : json["added_tokens"]) {
      if (token.is_object() && token.contains("id")) take(token["id"]);
    }
  }
  if (size > 0) return size;
  return absl::InvalidArgumentError("tokenizer.json has no model.vocab with token ids");
}

}  // namespace quire::worker
