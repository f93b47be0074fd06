#include "gateway/api/authenticator.h"

#include <algorithm>
#include <optional>

#include "base/core/api_key.h"
#include "base/core/hash.h"
#include "base/http/bearer.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {
Facts::Key Authenticator::Check(const http::RequestHead& head) const {
  const std::string_view bearer = http::BearerToken(head);
  const std::string* named = bearer.empty() ? head.Find("x-api-key") : nullptr;
  return CheckToken(named == nullptr ? bearer : *named);
}

Facts::Key Authenticator::CheckToken(std::string_view text) const {
  const std::optional<ParsedApiKey> parsed = ParseApiKey(text);
  if (!parsed || parsed->kind != KeyKind::kApi) return nullptr;
  const std::string hmac = ToBytes(ApiKeyHmac(pepper_, text));
  Facts::Key key = facts_.FindKey(parsed->id);
  const std::string nobody(hmac.size(), '\0');
  if (!compare_(hmac, key == nullptr ? nobody : key->key_hmac())) return nullptr;
  return key;
}

http::ApiError Authenticator::Refusal() const {
  if (facts_.synced()) return BadKey();
  return FromStatus(absl::UnavailableError(
      "this gateway has just started and does not know the keys yet: retry in a moment"));
}

Facts::Key Authenticator::Identify(http::Exchange& exchange) const {
  Facts::Key key = Check(exchange.head());
  if (key != nullptr) {
    exchange.record().key_id = key->key_id();
    exchange.record().account = key->account_id();
  }
  return key;
}

bool MayUseModel(const v1::KeyFact& key, const std::string& model) {
  const auto& models = key.models();
  return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
}

}  // namespace quire::gateway
