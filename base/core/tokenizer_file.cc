#include "base/core/tokenizer_file.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/core/byte_alphabet.h"
#include "base/core/json_file.h"
#include "base/core/status.h"
#include "base/core/tokenizer_pipeline.h"

namespace quire {
namespace {

using nlohmann::json;
using tokenizer_internal::FieldError;
using tokenizer_internal::Off;

constexpr size_t kMaxAddedTokens = 1 << 16;
constexpr size_t kMaxAddedTokenBytes = 1024;

using Ids = absl::flat_hash_map<std::string, TokenId>;

std::optional<TokenId> IdFrom(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= kMaxVocabulary) return std::nullopt;
  return value.get<TokenId>();
}

// What Hugging Face's ByteLevel decoder makes of a token: its bytes if all of it is in the alphabet, else
// itself.
std::string DecodedBytes(const std::string& token) { return BytesOfToken(token).value_or(token); }

absl::Status PlaceToken(TokenId id, const std::string& token, const std::string& field, TokenizerFile& out) {
  if (static_cast<size_t>(id) >= out.token_bytes.size()) out.token_bytes.resize(id + 1);
  std::string bytes = DecodedBytes(token);
  if (!out.token_bytes[id].empty() && out.token_bytes[id] != bytes) {
    return FieldError(field, absl::StrCat("id ", id, " is given to two tokens"));
  }
  out.token_bytes[id] = std::move(bytes);
  return absl::OkStatus();
}

absl::Status ReadVocabulary(const json& model, Ids& ids, TokenizerFile& out) {
  const json& vocab = JsonMember(model, "vocab");
  if (!vocab.is_object() || vocab.empty()) return FieldError("model.vocab", "must be an object of token: id");
  ids.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    const std::string field = absl::StrCat("model.vocab[\"", token, "\"]");
    const std::optional<TokenId> id = IdFrom(value);
    if (!id) return FieldError(field, absl::StrCat("must be an id below ", kMaxVocabulary));
    if (token.empty()) return FieldError(field, "an empty token");
    QUIRE_RETURN_IF_ERROR(PlaceToken(*id, token, field, out));
    ids.emplace(token, *id);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(ByteAlphabet()[byte]);
    out.byte_tokens[byte] = found == ids.end() ? kNoToken : found->second;
  }
  return absl::OkStatus();
}

// A merge is "left right", or in newer files ["left", "right"].
std::optional<std::pair<std::string, std::string>> SplitMerge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (!merge.is_string()) return std::nullopt;
  const std::string text = merge.get<std::string>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return std::nullopt;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

absl::Status ReadMerges(const json& model, const Ids& ids, TokenizerFile& out) {
  const json& merges = JsonMember(model, "merges");
  if (!merges.is_array()) return FieldError("model.merges", "must be an array");
  out.merges.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto pair = SplitMerge(merges[rank]);
    const std::string field = absl::StrCat("model.merges[", rank, "]");
    if (!pair) return FieldError(field, "must be \"left right\" or [\"left\", \"right\"]");
    const auto left = ids.find(pair->first), right = ids.find(pair->second);
    const auto result = ids.find(pair->first + pair->second);
    if (left == ids.end() || right == ids.end() || result == ids.end()) {
      return FieldError(field, absl::StrCat("\"", pair->first, "\" + \"", pair->second,
                                            "\": parts and result must be in model.vocab"));
    }
    out.merges.push_back({left->second, right->second, result->second});
  }
  return absl::OkStatus();
}

absl::Status CheckModel(const json& model, const TokenizerFile& out) {
  const json& type = JsonMember(model, "type");
  if (!type.is_null() && JsonString(type) != "BPE") return FieldError("model.type", "only BPE is supported");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
    if (!Off(JsonMember(model, name))) {
      return FieldError(absl::StrCat("model.", name), "is not supported with byte-level BPE");
    }
  }
  if (!JsonMember(model, "dropout").is_null()) return FieldError("model.dropout", "must be null");
  const bool all_bytes = std::count(out.byte_tokens.begin(), out.byte_tokens.end(), kNoToken) == 0;
  if (!Off(JsonMember(model, "unk_token")) && !all_bytes) {
    return FieldError("model.unk_token", "is supported only where the vocabulary has all 256 bytes");
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ReadAddedToken(const json& value, const std::string& field) {
  const std::optional<TokenId> id = IdFrom(JsonMember(value, "id"));
  if (!id) return FieldError(field + ".id", absl::StrCat("must be an id below ", kMaxVocabulary));
  const std::string content = JsonString(JsonMember(value, "content"));
  if (content.empty() || content.size() > kMaxAddedTokenBytes) {
    return FieldError(field + ".content",
                      absl::StrCat("must be a string of 1 to ", kMaxAddedTokenBytes, " bytes"));
  }
  AddedToken token;
  token.id = *id;
  token.content = content;
  token.special = !Off(JsonMember(value, "special"));
  token.single_word = !Off(JsonMember(value, "single_word"));
  token.lstrip = !Off(JsonMember(value, "lstrip"));
  token.rstrip = !Off(JsonMember(value, "rstrip"));
  token.normalized = !Off(JsonMember(value, "normalized"));
  return token;
}

absl::Status ReadAddedTokens(const json& root, const Ids& ids, TokenizerFile& out) {
  const json& list = JsonMember(root, "added_tokens");
  if (list.is_null()) return absl::OkStatus();
  if (!list.is_array() || list.size() > kMaxAddedTokens) {
    return FieldError("added_tokens", absl::StrCat("must be an array of at most ", kMaxAddedTokens));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string field = absl::StrCat("added_tokens[", i, "]");
    QUIRE_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(list[i], field));
    const auto known = ids.find(token.content);
    if (known != ids.end() && known->second != token.id) {
      return FieldError(field,
                        absl::StrCat("\"", token.content, "\" has id ", known->second, " in model.vocab"));
    }
    QUIRE_RETURN_IF_ERROR(PlaceToken(token.id, token.content, field, out));
    out.added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerFile> ParseTokenizerFile(std::string_view json_text) {
  QUIRE_ASSIGN_OR_RETURN(const json root, ParseJsonFile(json_text, "tokenizer.json"));
  const json& model = JsonMember(root, "model");
  if (!model.is_object()) return FieldError("model", "must be an object");
  TokenizerFile file;
  Ids ids;
  QUIRE_RETURN_IF_ERROR(ReadVocabulary(model, ids, file));
  QUIRE_RETURN_IF_ERROR(CheckModel(model, file));
  QUIRE_RETURN_IF_ERROR(ReadMerges(model, ids, file));
  file.ignore_merges = !Off(JsonMember(model, "ignore_merges"));
  QUIRE_RETURN_IF_ERROR(ReadAddedTokens(root, ids, file));
  QUIRE_RETURN_IF_ERROR(tokenizer_internal::ReadPipeline(root, file));
  return file;
}

}  // namespace quire
