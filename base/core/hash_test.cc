#include "base/core/hash.h"

#include <gtest/gtest.h>

#include <limits>

namespace quire {
namespace {

TEST(Hash, KnownAnswers) {
  // FIPS 180-2 and RFC 4231 test case 2.
  EXPECT_EQ(ToHex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hash, BlockHashesChainAndSeparateTenants) {
  std::vector<TokenId> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  const auto hashes = PrefixBlockHashes("salt", "plain", ids);
  ASSERT_EQ(hashes.size(), 2u);
  EXPECT_NE(PrefixBlockHashes("other", "plain", ids)[0], hashes[0]);
  EXPECT_NE(PrefixBlockHashes("salt", "yarn", ids)[0], hashes[0]);
  ids[39] = 7;  // in the partial block: no full block sees it
  EXPECT_EQ(PrefixBlockHashes("salt", "plain", ids), hashes);
  ids[0] = 9;  // the first block changes the whole chain
  EXPECT_NE(PrefixBlockHashes("salt", "plain", ids)[1], hashes[1]);
}

TEST(Hash, TokensRoundUpToBlocks) {
  EXPECT_EQ(BlocksFor(0), 0);
  EXPECT_EQ(BlocksFor(1), 1);
  EXPECT_EQ(BlocksFor(16), 1);
  EXPECT_EQ(BlocksFor(17), 2);
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(BlocksFor(kMost), kMost / 16 + 1);
  EXPECT_EQ(BlocksFor(std::numeric_limits<int64_t>::max()), std::numeric_limits<int64_t>::max() / 16 + 1);
}

}  // namespace
}  // namespace quire
