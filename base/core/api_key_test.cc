#include "base/core/api_key.h"

#include <gmock/gmock.h>

#include <set>

namespace quire {
namespace {

TEST(ApiKey, GeneratedKeysHaveTheFormAndDiffer) {
  std::set<std::string> ids, texts;
  for (int i = 0; i < 200; ++i) {
    const KeyKind kind = i % 2 == 0 ? KeyKind::kApi : KeyKind::kAdmin;
    const NewApiKey key = GenerateApiKey(kind);
    EXPECT_THAT(key.text, ::testing::MatchesRegex("[sa]k-quire-[0-9A-Za-z]{12}-[0-9A-Za-z]{43}-[0-9a-f]{8}"));
    const auto parsed = ParseApiKey(key.text);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->id, key.id);
    EXPECT_EQ(parsed->kind, kind);
    ids.insert(key.id);
    texts.insert(key.text);
  }
  EXPECT_EQ(ids.size(), 200u);
  EXPECT_EQ(texts.size(), 200u);
}

TEST(ApiKey, EveryChangedCharacterIsRefused) {
  const std::string good = GenerateApiKey(KeyKind::kApi).text;
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(ParseApiKey(bad).has_value()) << "position " << i;
  }
  EXPECT_FALSE(ParseApiKey("").has_value());
  EXPECT_FALSE(ParseApiKey("sk-quire-").has_value());
  EXPECT_FALSE(ParseApiKey(good + "0").has_value());
  EXPECT_FALSE(ParseApiKey(good.substr(0, good.size() - 1)).has_value());
}

TEST(ApiKey, HmacDependsOnThePepper) {
  EXPECT_NE(ApiKeyHmac("a", "key"), ApiKeyHmac("b", "key"));
  EXPECT_EQ(ApiKeyHmac("a", "key"), ApiKeyHmac("a", "key"));
}

}  // namespace
}  // namespace quire
