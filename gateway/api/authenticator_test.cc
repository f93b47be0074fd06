#include "gateway/api/authenticator.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

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

  facts.BeginStream(0);
  facts.Apply(Event(&key));
  EXPECT_EQ(authenticator.Check(head), nullptr);  // the full state is not there yet
  EXPECT_EQ(authenticator.Refusal().status, 503);
  EXPECT_GT(authenticator.Refusal().retry_after_s, 0);

  facts.Apply(Event(nullptr));
  EXPECT_NE(authenticator.Check(head), nullptr);
  EXPECT_EQ(authenticator.Refusal().status, 401);
}

// Or how long a refusal takes would tell which keys there are.
TEST(Authenticator, AnUnknownKeyCostsTheWorkOfAWrongOne) {
  const NewApiKey right = GenerateApiKey(KeyKind::kApi), wrong = GenerateApiKey(KeyKind::kApi),
                  unknown = GenerateApiKey(KeyKind::kApi);
  Facts facts;
  facts.BeginStream(0);
  for (const NewApiKey& known : {right, wrong}) {
    v1::KeyFact key;
    key.set_key_id(known.id);
    key.set_key_hmac(ToBytes(ApiKeyHmac("pepper", right.text)));
    facts.Apply(Event(&key));
  }
  facts.Apply(Event(nullptr));
  std::vector<std::pair<size_t, size_t>> compared;
  const Authenticator authenticator("pepper", facts, [&](std::string_view a, std::string_view b) {
    compared.emplace_back(a.size(), b.size());
    return ConstantTimeEqual(a, b);
  });
  const auto check = [&](const std::string& text) {
    http::RequestHead head;
    head.headers = {{"authorization", "Bearer " + text}};
    compared.clear();
    return authenticator.Check(head) != nullptr;
  };
  EXPECT_TRUE(check(right.text));
  const auto work = compared;
  EXPECT_EQ(work, (std::vector<std::pair<size_t, size_t>>{{sizeof(Digest), sizeof(Digest)}}));
  EXPECT_FALSE(check(wrong.text)) << "its id is known, with another secret";
  EXPECT_EQ(compared, work);
  EXPECT_FALSE(check(unknown.text));
  EXPECT_EQ(compared, work);
}

TEST(Authenticator, AKeyMayComeInAHeaderOfItsOwnWhereThereIsNoBearer) {
  const NewApiKey made = GenerateApiKey(KeyKind::kApi);
  v1::KeyFact key;
  key.set_key_id(made.id);
  key.set_key_hmac(ToBytes(ApiKeyHmac("pepper", made.text)));
  Facts facts;
  facts.BeginStream(0);
  facts.Apply(Event(&key));
  facts.Apply(Event(nullptr));
  const Authenticator authenticator("pepper", facts);
  const auto check = [&](http::Headers headers) {
    http::RequestHead head;
    head.headers = std::move(headers);
    return authenticator.Check(head) != nullptr;
  };
  EXPECT_TRUE(check({{"x-api-key", made.text}}));
  EXPECT_TRUE(check({{"authorization", "Basic eDp5"}, {"x-api-key", made.text}}));
  EXPECT_TRUE(check({{"authorization", "Bearer " + made.text}, {"x-api-key", ""}}));
  EXPECT_FALSE(check({{"authorization", "Bearer wrong"}, {"x-api-key", made.text}})) << "one decides";
  EXPECT_FALSE(check({{"x-api-key", ""}}));
  EXPECT_FALSE(check({}));
}

}  // namespace
}  // namespace quire::gateway
