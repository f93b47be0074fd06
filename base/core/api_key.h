// The form of a key: "sk-quire-<12 base62: key id>-<43 base62: 32 random bytes>-<8 hex: CRC-32 of all
// before>", with "ak-quire-" for the admin plane, so that neither opens the other's door. Only the HMAC under
// the installation's pepper is ever stored or compared; the whole key is shown once, when it is made, and
// never logged. Pure functions (but for the randomness of GenerateApiKey), any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/core/hash.h"

namespace quire {

enum class KeyKind { kApi = 0, kAdmin = 1 };

struct ParsedApiKey {
  KeyKind kind = KeyKind::kApi;
  std::string id;
};

struct NewApiKey {
  std::string id;    // what lists, logs and the ledger name it by
  std::string text;  // the whole key: show it once, then forget it
};

NewApiKey GenerateApiKey(KeyKind kind);

// Null unless form and checksum hold. Says nothing about whether the key exists: look the id up and compare
// HMACs with ConstantTimeEqual (for an unknown id against a dummy, so that time tells nothing).
std::optional<ParsedApiKey> ParseApiKey(std::string_view text);

// What is stored: HMAC-SHA-256(pepper, whole key).
Digest ApiKeyHmac(std::string_view pepper, std::string_view text);

}  // namespace quire
