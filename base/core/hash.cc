#include "base/core/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"

namespace quire {

Digest Sha256(std::string_view data) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest.data());
  return digest;
}

Digest HmacSha256(std::string_view key, std::string_view data) {
  Digest digest;
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest.data(), &size);
  return digest;
}

std::string ToBytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string ToHex(const Digest& digest) { return absl::BytesToHexString(ToBytes(digest)); }

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Digest PrefixSeed(std::string_view salt, std::string_view rope_variant) {
  std::string seed(salt);
  seed.push_back('\0');
  seed.append(rope_variant);
  return Sha256(seed);
}

Digest NextBlockHash(const Digest& previous, std::span<const TokenId, kBlockTokens> ids) {
  std::string data = ToBytes(previous);
  data.append(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  return Sha256(data);
}

std::vector<Digest> PrefixBlockHashes(std::string_view salt, std::string_view rope_variant,
                                      std::span<const TokenId> ids) {
  Digest chain = PrefixSeed(salt, rope_variant);
  std::vector<Digest> hashes;
  hashes.reserve(ids.size() / kBlockTokens);
  for (; ids.size() >= kBlockTokens; ids = ids.subspan(kBlockTokens)) {
    chain = NextBlockHash(chain, ids.first<kBlockTokens>());
    hashes.push_back(chain);
  }
  return hashes;
}

}  // namespace quire
