// Against values that Python's hmac and base64 computed.
#include "gateway/api/webhooks/webhook_signature.h"

#include <gtest/gtest.h>

namespace quire::gateway {
namespace {

TEST(WebhookSignature, IsTheConventions) {
  const std::string secret = WebhookSecret("pepper", "key_1");
  EXPECT_EQ(SayWebhookSecret(secret), "whsec_bOO0bbwUoBWK7nMPr8uqrMaApLmFeDBrQQb0Dxy+99M=");
  const http::Headers wanted = {{"webhook-id", "msg_1"},
                                {"webhook-timestamp", "1700000000"},
                                {"webhook-signature", "v1,E+hulCRVYvMtMXV97UErhxGVX00F2YwmLQwvb1koWz0="}};
  EXPECT_EQ(SignWebhook(secret, "msg_1", 1'700'000'000, "{\"a\":1}"), wanted);
}

TEST(WebhookSignature, EachKeyHasItsOwnSecret) {
  const std::string secret = WebhookSecret("pepper", "key_1");
  EXPECT_EQ(WebhookSecret("pepper", "key_1"), secret) << "at every gateway, after every restart";
  EXPECT_NE(WebhookSecret("pepper", "key_2"), secret);
  EXPECT_NE(WebhookSecret("other", "key_1"), secret);
  EXPECT_EQ(secret.size(), 32u);
}

}  // namespace
}  // namespace quire::gateway
