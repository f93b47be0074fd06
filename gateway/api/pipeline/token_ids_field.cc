#include "gateway/api/pipeline/token_ids_field.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace quire::gateway {

std::vector<TokenId> ReadTokenIds(FieldReader& fields, const nlohmann::ordered_json& list,
                                  const std::string& path) {
  std::vector<TokenId> ids;
  if (!list.is_array()) {
    fields.FailAt(path, "give a list of token ids");
    return ids;
  }
  ids.reserve(list.size());
  for (size_t i = 0; i < list.size() && !fields.failed(); ++i) {
    const nlohmann::ordered_json id = AsInteger(list[i]);
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      fields.FailAt(absl::StrCat(path, ".", i), "give a token id");
    } else {
      ids.push_back(id.get<TokenId>());
    }
  }
  return ids;
}

std::vector<TokenId> ReadTokenIds(FieldReader& fields, const TokenIdsField& field) {
  const nlohmann::ordered_json* ids = fields.Find(field);
  if (ids == nullptr) {
    if (field.required) fields.Fail(field, "give a list of token ids");
    return {};
  }
  if (field.max_items < SIZE_MAX && (!ids->is_array() || ids->size() > field.max_items)) {
    fields.Fail(field, absl::StrCat("give a list of at most ", field.max_items, " token ids"));
    return {};
  }
  return ReadTokenIds(fields, *ids, field.name);
}

}  // namespace quire::gateway
