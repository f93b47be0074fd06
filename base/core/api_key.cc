#include "base/core/api_key.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/core/ids.h"

namespace quire {
namespace {

constexpr std::string_view kApiPrefix = "sk-quire-";
constexpr std::string_view kAdminPrefix = "ak-quire-";
constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t kSecretBytes = 32;
constexpr size_t kIdDigits = 12;
constexpr size_t kSecretDigits = 43;  // 62^43 > 2^256
constexpr size_t kChecksumDigits = 8;
constexpr size_t kKeySize = kApiPrefix.size() + kIdDigits + 1 + kSecretDigits + 1 + kChecksumDigits;
static_assert(kApiPrefix.size() == kAdminPrefix.size());

// A big-endian number in base 62, most significant digit first.
std::string Base62(std::string number, size_t digits) {
  std::string text(digits, kDigits[0]);
  for (size_t i = digits; i-- > 0;) {
    unsigned remainder = 0;
    for (char& byte : number) {
      const unsigned value = remainder * 256 + static_cast<unsigned char>(byte);
      byte = static_cast<char>(value / kDigits.size());
      remainder = value % kDigits.size();
    }
    text[i] = kDigits[remainder];
  }
  return text;
}

std::string Checksum(std::string_view text) {
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  return std::string(absl::StrCat(absl::Hex(crc, absl::kZeroPad8)));
}

bool IsBase62(std::string_view text) { return text.find_first_not_of(kDigits) == std::string_view::npos; }

}  // namespace

NewApiKey GenerateApiKey(KeyKind kind) {
  NewApiKey key;
  // 96 random bits reduced to 12 digits (71 bits): the bias is far below one part in a million.
  key.id = Base62(RandomBytes(12), kIdDigits);
  key.text = std::string(kind == KeyKind::kAdmin ? kAdminPrefix : kApiPrefix) + key.id + "-" +
             Base62(RandomBytes(kSecretBytes), kSecretDigits) + "-";
  key.text += Checksum(std::string_view(key.text).substr(0, key.text.size() - 1));
  return key;
}

std::optional<ParsedApiKey> ParseApiKey(std::string_view text) {
  if (text.size() != kKeySize) return std::nullopt;
  ParsedApiKey parsed;
  if (text.starts_with(kAdminPrefix)) {
    parsed.kind = KeyKind::kAdmin;
  } else if (!text.starts_with(kApiPrefix)) {
    return std::nullopt;
  }
  const std::string_view id = text.substr(kApiPrefix.size(), kIdDigits);
  const std::string_view secret = text.substr(kApiPrefix.size() + kIdDigits + 1, kSecretDigits);
  const std::string_view body = text.substr(0, kKeySize - kChecksumDigits - 1);
  if (!IsBase62(id) || !IsBase62(secret)) return std::nullopt;
  if (text[kApiPrefix.size() + kIdDigits] != '-' || text[body.size()] != '-') return std::nullopt;
  if (text.substr(body.size() + 1) != Checksum(body)) return std::nullopt;
  parsed.id = std::string(id);
  return parsed;
}

Digest ApiKeyHmac(std::string_view pepper, std::string_view text) { return HmacSha256(pepper, text); }

}  // namespace quire
