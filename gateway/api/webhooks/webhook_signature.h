// How a receiver knows that a webhook is ours: the headers and the signature of the Standard Webhooks
// convention. Each key has a secret of its own, derived from the installation's pepper and its id: so it is
// the same at every gateway and after every restart, nobody stores it, a new key has a new one, and none
// leads to another. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/http/reply.h"

namespace quire::gateway {

// Its bytes, as they sign.
std::string WebhookSecret(std::string_view pepper, std::string_view key_id);
// The same as clients are told it: whsec_ and base64.
std::string SayWebhookSecret(std::string_view secret);

// webhook-id, webhook-timestamp and webhook-signature of a delivery's attempt.
http::Headers SignWebhook(std::string_view secret, const std::string& id, int64_t unix_s,
                          std::string_view body);

}  // namespace quire::gateway
