#include "gateway/api/webhooks/webhook_signature.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/hash.h"

namespace quire::gateway {

std::string WebhookSecret(std::string_view pepper, std::string_view key_id) {
  return ToBytes(HmacSha256(pepper, absl::StrCat("webhooks of a key: ", Absl(key_id))));
}

std::string SayWebhookSecret(std::string_view secret) {
  return absl::StrCat("whsec_", absl::Base64Escape(Absl(secret)));
}

http::Headers SignWebhook(std::string_view secret, const std::string& id, int64_t unix_s,
                          std::string_view body) {
  const Digest digest = HmacSha256(secret, absl::StrCat(id, ".", unix_s, ".", Absl(body)));
  return {{"webhook-id", id},
          {"webhook-timestamp", absl::StrCat(unix_s)},
          {"webhook-signature", absl::StrCat("v1,", absl::Base64Escape(ToBytes(digest)))}};
}

}  // namespace quire::gateway
