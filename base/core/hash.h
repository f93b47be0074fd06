// SHA-256, HMAC-SHA-256 and the chained block hashes that gateway, coordinator and cache share. Pure
// functions, any thread. A block hash covers the tenant's salt, the RoPE variant and every token up to the
// block's end, so equal hashes mean equal prefixes of one tenant.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/ids.h"

namespace quire {

using Digest = std::array<uint8_t, 32>;

Digest Sha256(std::string_view data);
Digest HmacSha256(std::string_view key, std::string_view data);
std::string ToHex(const Digest& digest);
std::string ToBytes(const Digest& digest);
// Equal in time that depends on the lengths only.
bool ConstantTimeEqual(std::string_view a, std::string_view b);

inline constexpr int kBlockTokens = 16;
// That hold so many tokens, the last one perhaps in part; in the type that the count has, since converting it
// could change it. No count overflows.
template <std::integral Count>
constexpr Count BlocksFor(Count tokens) {
  return tokens / kBlockTokens + (tokens % kBlockTokens > 0 ? 1 : 0);
}

// One digest per full block of `ids` (the last, partial one has none): block i = SHA-256(block i-1 || ids of
// i), the chain seeded by SHA-256(salt || 0 || rope_variant). Ids are hashed as little-endian int32.
std::vector<Digest> PrefixBlockHashes(std::string_view salt, std::string_view rope_variant,
                                      std::span<const TokenId> ids);
// The same chain link by link, for who sees the ids as they come.
Digest PrefixSeed(std::string_view salt, std::string_view rope_variant);
Digest NextBlockHash(const Digest& previous, std::span<const TokenId, kBlockTokens> ids);

}  // namespace quire
