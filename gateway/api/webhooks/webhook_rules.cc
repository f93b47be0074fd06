#include "gateway/api/webhooks/webhook_rules.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "base/http/public_address.h"

namespace quire::gateway {

absl::StatusOr<WebhookRules> WebhookRules::Parse(std::string_view allowed) {
  WebhookRules rules;
  const std::vector<std::string> texts = absl::StrSplit(Absl(allowed), ',', absl::SkipWhitespace());
  for (std::string text : texts) {
    absl::StripAsciiWhitespace(&text);
    const absl::StatusOr<http::HostAndPort> place = http::ParseHostAndPort(text);
    if (!place.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--webhook-allow: '", text, "' is no HOST or HOST:PORT: ", MessageOf(place.status())));
    }
    rules.listed_.push_back(*place);
  }
  return rules;
}

bool WebhookRules::IsListed(const http::HttpsUrl& url) const {
  return std::find(listed_.begin(), listed_.end(), http::HostAndPort{url.host, url.port}) != listed_.end();
}

std::optional<http::ApiError> WebhookRules::Check(const http::HttpsUrl& url) const {
  if (url.port == http::kHttpsPort || IsListed(url)) return std::nullopt;
  return InvalidField("webhook", "webhook: give a URL without a port: only 443 is called");
}

bool WebhookRules::MayReach(const http::HttpsUrl& url, const boost::asio::ip::address& address) const {
  return IsListed(url) || (url.port == http::kHttpsPort && http::IsPublicAddress(address));
}

}  // namespace quire::gateway
