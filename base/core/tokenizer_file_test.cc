#include "base/core/tokenizer_file.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/core/byte_alphabet.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json Valid() {
  return json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<x>", "special": true, "lstrip": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"String": "."}, "behavior": "Isolated", "invert": false},
      {"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated"},
      {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "use_regex": false}]},
    "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "<x>", "type_id": 0}}],
      "special_tokens": {"<x>": {"id": "<x>", "ids": [4], "tokens": ["<x>"]}}}]},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "ignore_merges": true,
              "vocab": {"a": 0, "Ġ": 1, "Ġa": 2, "aa": 3}, "merges": ["Ġ a", ["a", "a"]]}})");
}

TEST(TokenizerFile, ReadsEveryPart) {
  const TokenizerFile file = ParseTokenizerFile(Valid().dump()).value();
  EXPECT_TRUE(file.normalize_nfc);
  EXPECT_TRUE(file.ignore_merges);
  EXPECT_THAT(file.split_patterns, ElementsAre("\\.", "a+", "\\p{N}"));
  EXPECT_THAT(file.token_bytes, ElementsAre("a", " ", " a", "aa", "<x>"));
  EXPECT_THAT(file.prefix_ids, ElementsAre(4));
  EXPECT_EQ(file.byte_tokens['a'], 0);
  EXPECT_EQ(file.byte_tokens[' '], 1);
  EXPECT_EQ(file.byte_tokens['b'], kNoToken);
  ASSERT_EQ(file.merges.size(), 2u);
  EXPECT_EQ(file.merges[0].result, 2);
  EXPECT_EQ(file.merges[1].left, 0);
  ASSERT_EQ(file.added_tokens.size(), 1u);
  EXPECT_TRUE(file.added_tokens[0].special && file.added_tokens[0].lstrip && !file.added_tokens[0].rstrip);
}

// Each change makes the file wrong or unsupported; the error must name the field.
TEST(TokenizerFile, ErrorsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model": null})", "model:"},
      {R"({"model": {"type": "WordPiece"}})", "model.type"},
      {R"({"model": {"vocab": {"a": -1}}})", "model.vocab[\"a\"]"},
      {R"({"model": {"vocab": {"a": 1048576}}})", "model.vocab[\"a\"]"},
      {R"({"model": {"vocab": {"b": 3}}})", "given to two tokens"},
      {R"({"model": {"vocab": []}})", "model.vocab"},
      {R"({"model": {"merges": ["a b"]}})", "model.merges[0]"},
      {R"({"model": {"merges": ["aa"]}})", "model.merges[0]"},
      {R"({"model": {"merges": [["a"]]}})", "model.merges[0]"},
      {R"({"model": {"merges": {}}})", "model.merges"},
      {R"({"model": {"byte_fallback": true}})", "model.byte_fallback"},
      {R"({"model": {"dropout": 0.1}})", "model.dropout"},
      {R"({"model": {"end_of_word_suffix": "</w>"}})", "model.end_of_word_suffix"},
      {R"({"model": {"unk_token": "a"}})", "model.unk_token"},
      {R"({"added_tokens": {}})", "added_tokens"},
      {R"({"added_tokens": [{"id": 4}]})", "added_tokens[0].content"},
      {R"({"added_tokens": [{"content": "x"}]})", "added_tokens[0].id"},
      {R"({"added_tokens": [{"id": 9, "content": "a"}]})", "added_tokens[0]"},
      {R"({"normalizer": {"type": "NFKC"}})", "normalizer: type \"NFKC\""},
      {R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip"}]}})",
       "normalizer.normalizers[0]"},
      {R"({"normalizer": 1})", "normalizer"},
      {R"({"pre_tokenizer": null})", "pre_tokenizer"},
      {R"({"pre_tokenizer": {"type": "Whitespace"}})", "pre_tokenizer"},
      {R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}})",
       "pre_tokenizer.add_prefix_space"},
      {R"({"pre_tokenizer": {"pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]}})",
       "pre_tokenizer.pretokenizers[1]"},
      {R"({"pre_tokenizer": {"pretokenizers": [{"type": "Split", "behavior": "Removed"}]}})", "[0].behavior"},
      {R"({"pre_tokenizer": {"pretokenizers": [{"type": "Split", "behavior": "Isolated", "pattern": 1}]}})",
       "[0].pattern"},
      {R"({"decoder": {"type": "Metaspace"}})", "decoder"},
      {R"({"decoder": null})", "decoder"},
      {R"({"post_processor": {"type": "RobertaProcessing"}})", "post_processor"},
      {R"({"post_processor": {"processors": [{"type": "TemplateProcessing"}]}})", "processors[0].single"},
      {R"({"post_processor": {"processors": [{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "y"}}],
          "special_tokens": {"y": {"ids": [77]}}}]}})",
       "special_tokens"},
  };
  for (const auto& [patch, field] : cases) {
    json changed = Valid();
    changed.merge_patch(json::parse(patch));
    if (json::parse(patch).contains("decoder") && json::parse(patch)["decoder"].is_null())
      changed.erase("decoder");
    const absl::Status status = ParseTokenizerFile(changed.dump()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << patch;
    EXPECT_THAT(MessageOf(status), HasSubstr(field)) << patch;
  }
}

// Every step is a stage that each piece of text goes through, one inside the other.
TEST(TokenizerFile, StepsAreBoundedHoweverTheyAreNested) {
  const char* parts[][2] = {{"normalizer", "normalizers"},
                            {"pre_tokenizer", "pretokenizers"},
                            {"decoder", "decoders"},
                            {"post_processor", "processors"}};
  for (const auto& [part, list] : parts) {
    json changed = Valid();
    json inner = json::array();
    for (int i = 0; i < 20; ++i) {
      inner.push_back(part == std::string("normalizer")      ? json{{"type", "NFC"}}
                      : part == std::string("pre_tokenizer") ? json{{"type", "Digits"}}
                                                             : json{{"type", "ByteLevel"}});
    }
    json outer = json::array();
    for (int i = 0; i < 4; ++i) outer.push_back({{"type", "Sequence"}, {list, inner}});
    if (part == std::string("pre_tokenizer")) outer.push_back({{"type", "ByteLevel"}});
    changed[part] = {{"type", "Sequence"}, {list, outer}};
    EXPECT_THAT(MessageOf(ParseTokenizerFile(changed.dump()).status()), HasSubstr("more than 64 steps"))
        << part;
  }
}

TEST(TokenizerFile, HostileBytesAreRefused) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("\"\xff\""),
        std::string(1 << 20, '['),
        std::string("{\"model\":") + std::string(200, '[') + std::string(200, ']') + "}"}) {
    EXPECT_FALSE(ParseTokenizerFile(text).ok());
  }
  EXPECT_THAT(MessageOf(ParseTokenizerFile(std::string(1000, '[')).status()), HasSubstr("nested deeper"));
}

TEST(ByteAlphabet, IsABijection) {
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(BytesOfToken(ByteAlphabet()[byte]), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(ByteAlphabet()[' '], "Ġ");
  EXPECT_EQ(ByteAlphabet()['\n'], "Ċ");
  EXPECT_EQ(BytesOfToken("a b"), std::nullopt);
  EXPECT_EQ(BytesOfToken("日"), std::nullopt);
}

}  // namespace
}  // namespace quire
