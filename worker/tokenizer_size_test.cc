#include "worker/tokenizer_size.h"

#include <gtest/gtest.h>

namespace quire::worker {
namespace {

TEST(TokenizerSize, CountsVocabularyAndAddedTokens) {
  EXPECT_EQ(*TokenizerSize(R"({"model": {"vocab": {"a": 0, "b": 6}}})"), 7);
  EXPECT_EQ(
      *TokenizerSize(R"({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 9, "content": "<x>"}]})"), 10);
}

TEST(TokenizerSize, RefusesWhatHasNoIds) {
  for (const char* json :
       {"", "[", "[]", "{}", R"({"model": 3})", R"({"model": {"vocab": ["a"]}})", R"({"added_tokens": 7})",
        R"({"added_tokens": [1, {}]})", R"({"model": {"vocab": {"a": 9223372036854775807}}})",
        R"({"model": {"vocab": {"a": 2147483647}}})"}) {
    EXPECT_FALSE(TokenizerSize(json).ok()) << json;
  }
}

TEST(TokenizerSize, RefusesWhatIsNestedTooDeeply) {
  const std::string deep =
      R"({"model": {"vocab": {"a": 0}}, "x": )" + std::string(100, '[') + std::string(100, ']') + "}";
  EXPECT_FALSE(TokenizerSize(deep).ok());
}

}  // namespace
}  // namespace quire::worker
