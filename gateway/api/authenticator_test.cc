#include "gateway/api/authenticator.h"

#include <gtest/gtest.h>

#include "base/core/api_key.h"
#include "base/core/hash.h"

namespace quire::gateway {
namespace {

v1::WatchEvent Event(const v1::KeyFact* key) {
  v1::WatchEvent event;
  if (key != nullptr) {
    *event.mutable_key() = *key;
  } else {
    event.set_synced(true);
  }
  return event;
}

TEST(Authenticator, AKeyIsRefusedForGoodOnlyByWhoKnowsTheKeys) {
  const NewApiKey made = GenerateApiKey(KeyKind::kApi);
  v1::KeyFact key;
  key.set_key_id(made.id);
  key.set_key_hmac(ToBytes(ApiKeyHmac("pepper", made.text)));
  Facts facts;
  const Authenticator authenticator("pepper", facts);
  http::RequestHead head;
  head.headers = {{"authorization", "Bearer " + made.text}};

  facts.BeginStream();
  facts.Apply(Event(&key));
  EXPECT_EQ(authenticator.Check(head), nullptr);  // the full state is not there yet
  EXPECT_EQ(authenticator.Refusal().status, 503);
  EXPECT_GT(authenticator.Refusal().retry_after_s, 0);

  facts.Apply(Event(nullptr));
  EXPECT_NE(authenticator.Check(head), nullptr);
  EXPECT_EQ(authenticator.Refusal().status, 401);
}

}  // namespace
}  // namespace quire::gateway
