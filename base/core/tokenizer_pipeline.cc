#include "base/core/tokenizer_pipeline.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire::tokenizer_internal {
namespace {

using nlohmann::json;

constexpr size_t kMaxSteps = 64;  // of one part, those of Sequences in Sequences together
constexpr size_t kMaxPrefixIds = 16;
// What ByteLevel splits by when its use_regex is on (GPT-2's words).
constexpr char kByteLevelPattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string TypeOf(const json& step) { return JsonString(JsonMember(step, "type")); }

using Step = std::function<absl::Status(const json& step, const std::string& field)>;

absl::Status ForEachStep(const json& step, const std::string& field, const std::string& list_name,
                         const Step& visit, size_t& seen) {
  if (++seen > kMaxSteps) return FieldError(field, absl::StrCat("is one of more than ", kMaxSteps, " steps"));
  if (step.is_null()) return absl::OkStatus();
  if (!step.is_object()) return FieldError(field, "must be an object or null");
  if (TypeOf(step) != "Sequence") return visit(step, field);
  const json& list = JsonMember(step, list_name);
  const std::string list_field = absl::StrCat(field, ".", list_name);
  if (!list.is_array()) return FieldError(list_field, "must be an array");
  for (size_t i = 0; i < list.size(); ++i) {
    QUIRE_RETURN_IF_ERROR(
        ForEachStep(list[i], absl::StrCat(list_field, "[", i, "]"), list_name, visit, seen));
  }
  return absl::OkStatus();
}

// Calls `visit` for the step itself, or for each one of a Sequence (whose list is named `list_name`).
absl::Status ForEachStep(const json& step, const std::string& field, const std::string& list_name,
                         const Step& visit) {
  size_t seen = 0;
  return ForEachStep(step, field, list_name, visit, seen);
}

absl::Status Refused(const std::string& field, const json& step, std::string_view known) {
  return FieldError(field,
                    absl::StrCat("type \"", TypeOf(step), "\" is not supported; ", std::string(known)));
}

absl::Status ReadNormalizer(const json& root, TokenizerFile& out) {
  return ForEachStep(JsonMember(root, "normalizer"), "normalizer", "normalizers",
                     [&](const json& step, const std::string& field) {
                       if (TypeOf(step) != "NFC") return Refused(field, step, "only NFC is");
                       out.normalize_nfc = true;
                       return absl::OkStatus();
                     });
}

// A Split's pattern as a regular expression; {"String": ...} is a literal.
absl::StatusOr<std::string> SplitPattern(const json& step, const std::string& field) {
  if (JsonString(JsonMember(step, "behavior")) != "Isolated") {
    return FieldError(field + ".behavior", "only Isolated is supported");
  }
  if (!Off(JsonMember(step, "invert"))) return FieldError(field + ".invert", "only false is supported");
  const json& pattern = JsonMember(step, "pattern");
  const json& regex = JsonMember(pattern, "Regex");
  if (regex.is_string()) return regex.get<std::string>();
  const json& literal = JsonMember(pattern, "String");
  if (!literal.is_string()) return FieldError(field + ".pattern", "must hold a string, Regex or String");
  std::string quoted;
  for (const char c : literal.get<std::string>()) {
    if (static_cast<unsigned char>(c) < 0x80 && !isalnum(static_cast<unsigned char>(c))) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

absl::Status ReadPreTokenizerStep(const json& step, const std::string& field, bool& byte_level_seen,
                                  TokenizerFile& out) {
  if (byte_level_seen) return FieldError(field, "ByteLevel must be the last pre-tokenizer");
  const std::string type = TypeOf(step);
  if (type == "Split") {
    QUIRE_ASSIGN_OR_RETURN(std::string pattern, SplitPattern(step, field));
    out.split_patterns.push_back(std::move(pattern));
  } else if (type == "Digits") {
    out.split_patterns.push_back(Off(JsonMember(step, "individual_digits")) ? R"(\p{N}+)" : R"(\p{N})");
  } else if (type == "ByteLevel") {
    byte_level_seen = true;
    if (!Off(JsonMember(step, "add_prefix_space"))) {
      return FieldError(field + ".add_prefix_space", "only false is supported");
    }
    const json& use_regex = JsonMember(step, "use_regex");
    if (use_regex.is_null() || !Off(use_regex)) out.split_patterns.push_back(kByteLevelPattern);
  } else {
    return Refused(field, step, "Split, Digits and ByteLevel are");
  }
  return absl::OkStatus();
}

absl::Status ReadPreTokenizer(const json& root, TokenizerFile& out) {
  bool byte_level_seen = false;
  QUIRE_RETURN_IF_ERROR(ForEachStep(JsonMember(root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                                    [&](const json& step, const std::string& field) {
                                      return ReadPreTokenizerStep(step, field, byte_level_seen, out);
                                    }));
  if (!byte_level_seen) return FieldError("pre_tokenizer", "must end with ByteLevel (byte-level BPE)");
  return absl::OkStatus();
}

absl::Status ReadDecoder(const json& root) {
  const json& decoder = JsonMember(root, "decoder");
  if (decoder.is_null()) return FieldError("decoder", "must be ByteLevel");
  return ForEachStep(decoder, "decoder", "decoders", [](const json& step, const std::string& field) {
    return TypeOf(step) == "ByteLevel" ? absl::OkStatus() : Refused(field, step, "only ByteLevel is");
  });
}

// Appends the ids of one special token of a TemplateProcessing.
absl::Status AppendTemplateIds(const json& step, const json& name, const std::string& field,
                               TokenizerFile& out) {
  const json& special =
      name.is_string() ? JsonMember(JsonMember(step, "special_tokens"), name.get<std::string>()) : name;
  const json& ids = JsonMember(special, "ids");
  if (!ids.is_array() || ids.size() + out.prefix_ids.size() > kMaxPrefixIds) {
    return FieldError(field + ".special_tokens", "must give each token of the template its ids");
  }
  for (const json& id : ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= out.token_bytes.size()) {
      return FieldError(field + ".special_tokens", "has an id that the vocabulary lacks");
    }
    out.prefix_ids.push_back(id.get<TokenId>());
  }
  return absl::OkStatus();
}

absl::Status ReadTemplateProcessing(const json& step, const std::string& field, TokenizerFile& out) {
  const json& single = JsonMember(step, "single");
  if (!single.is_array()) return FieldError(field + ".single", "must be an array");
  for (const json& piece : single) {
    const json& special = JsonMember(piece, "SpecialToken");
    if (special.is_null()) break;  // the text itself; what comes after it (EOS) is not for prompts
    QUIRE_RETURN_IF_ERROR(AppendTemplateIds(step, JsonMember(special, "id"), field, out));
  }
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const json& root, TokenizerFile& out) {
  return ForEachStep(JsonMember(root, "post_processor"), "post_processor", "processors",
                     [&](const json& step, const std::string& field) {
                       const std::string type = TypeOf(step);
                       if (type == "ByteLevel") return absl::OkStatus();  // moves offsets only
                       if (type == "TemplateProcessing") return ReadTemplateProcessing(step, field, out);
                       return Refused(field, step, "ByteLevel and TemplateProcessing are");
                     });
}

}  // namespace

absl::Status FieldError(std::string_view field, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json: ", std::string(field), ": ", std::string(problem)));
}

bool Off(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  return value.is_null() || (value.is_string() && JsonString(value).empty());
}

absl::Status ReadPipeline(const json& root, TokenizerFile& out) {
  QUIRE_RETURN_IF_ERROR(ReadNormalizer(root, out));
  QUIRE_RETURN_IF_ERROR(ReadPreTokenizer(root, out));
  QUIRE_RETURN_IF_ERROR(ReadDecoder(root));
  return ReadPostProcessor(root, out);
}

}  // namespace quire::tokenizer_internal
