#include "gateway/api/authenticator.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "base/core/api_key.h"
#include "base/core/hash.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {
namespace {

constexpr std::string_view kScheme = "Bearer ";

std::string_view BearerOf(const http::RequestHead& head) {
  const std::string* header = head.Find("authorization");
  if (header == nullptr || !absl::StartsWithIgnoreCase(*header, {kScheme.data(), kScheme.size()})) return {};
  return std::string_view(*header).substr(kScheme.size());
}

}  // namespace

Facts::Key Authenticator::Check(const http::RequestHead& head) const {
  const std::string_view text = BearerOf(head);
  const std::optional<ParsedApiKey> parsed = ParseApiKey(text);
  if (!parsed || parsed->kind != KeyKind::kApi) return nullptr;
  const std::string hmac = ToBytes(ApiKeyHmac(pepper_, text));
  Facts::Key key = facts_.FindKey(parsed->id);
  const std::string nobody(hmac.size(), '\0');
  if (!ConstantTimeEqual(hmac, key == nullptr ? nobody : key->key_hmac())) return nullptr;
  return key;
}

http::ApiError Authenticator::Refusal() const {
  if (facts_.synced()) return BadKey();
  return FromStatus(absl::UnavailableError(
      "this gateway has just started and does not know the keys yet: retry in a moment"));
}

bool MayUseModel(const v1::KeyFact& key, const std::string& model) {
  const auto& models = key.models();
  return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
}

}  // namespace quire::gateway
