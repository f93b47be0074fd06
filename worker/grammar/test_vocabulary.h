// For tests only: a small byte-level vocabulary, made by hand, and what comes of a grammar over it.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/grammar/xgrammar_compiler.h"

namespace quire::worker {

inline constexpr TokenId kToolCall = 256, kToolCallEnd = 257, kImEnd = 258, kPython = 259, kFirstWord = 260,
                         kEmoji = 273, kLess = 283;

// Each byte, two added tokens that are text, two special ones, words and parts of letters; and ids that the
// tokenizer doesn't have.
inline Vocabulary SmallVocabulary() {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* text : {"<tool_call>", "</tool_call>",
                           "<|im_end|>",  "<|python_tag|>",
                           "{\"",         "\":",
                           " \"",         "\"}",
                           "\",",         "name",
                           "true",        "null",
                           "red",         "gr",
                           "\xc3",        "\xbc n",
                           "\xe2\x82",    "\xf0\x9f",
                           "\x98\x80",    "\xac\"",
                           "12",          "-",
                           ".5",          "e+",
                           "[[",          "]",
                           "  ",          "<",
                           "a\"b",        "\\u00",
                           "xyz"}) {
    vocabulary.bytes.emplace_back(text);
  }
  vocabulary.special = {kImEnd, kPython};
  vocabulary.size = std::ssize(vocabulary.bytes) + 21;
  return vocabulary;
}

inline std::string TagOf(const std::string& format) {
  return absl::StrCat(R"({"type":"structural_tag","format":)", format, "}");
}
inline std::string SchemaTag(const std::string& schema) {
  return TagOf(absl::StrCat(R"({"type":"json_schema","json_schema":)", schema, "}"));
}

inline std::vector<TokenId> AllowedBy(GrammarState& state, int64_t vocab) {
  std::vector<uint32_t> mask(static_cast<size_t>((vocab + 31) / 32), 0xffffffffu);
  EXPECT_TRUE(state.FillMask(mask));
  std::vector<TokenId> ids;
  for (size_t i = 0; i < mask.size(); ++i) {
    for (uint32_t word = mask[i]; word != 0; word &= word - 1)
      ids.push_back(static_cast<TokenId>(32 * i) + std::countr_zero(word));
  }
  return ids;
}

// A whole text of the grammar, each token any of those that may come; nullopt where it isn't whole after so
// many. It is likelier to stop than to go on where it may.
inline std::optional<std::string> Walk(const CompiledGrammar& grammar, const Vocabulary& vocabulary,
                                       std::mt19937& random, int tokens,
                                       std::vector<TokenId>* path = nullptr) {
  const std::unique_ptr<GrammarState> state = grammar.Start();
  std::string text;
  for (int i = 0; i < tokens; ++i) {
    const std::vector<TokenId> ids = AllowedBy(*state, grammar.vocab());
    if (state->CanStop() && (ids.empty() || random() % 2 == 0)) return text;
    if (ids.empty()) {
      ADD_FAILURE() << "nothing may come after " << text;
      return std::nullopt;
    }
    const TokenId id = ids[random() % ids.size()];
    EXPECT_TRUE(state->Accept(id)) << id << " after " << text;
    text += vocabulary.bytes.at(id);
    if (path != nullptr) path->push_back(id);
  }
  EXPECT_TRUE(state->status().ok()) << state->status();
  return state->CanStop() ? std::optional(text) : std::nullopt;
}

}  // namespace quire::worker
