#include "coordinator/api/slow_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"

namespace quire::coordinator {
namespace {

using testing::ElementsAre;

KeyRow Key(const std::string& id, KeyKind kind = KeyKind::kApi) {
  KeyRow key;
  key.id = id;
  key.kind = kind;
  key.account = "acme";
  return key;
}

v1::GroupInfo GroupOf(const std::string& model, uint64_t kv_blocks = 10) {
  v1::GroupInfo group;
  group.set_model(model);
  group.set_kv_blocks(kv_blocks);
  group.set_block_tokens(16);
  group.set_max_context(4096);
  group.set_plain_context(2048);
  group.set_bundle_digest(std::string(32, 'd'));
  return group;
}

PriceRow Price(const std::string& model, uint64_t version) {
  return {model, {.version = version, .prompt = 75, .cached_prompt = 75, .completion = 150}};
}

// What a gateway hears, in a word per event.
class Listener {
 public:
  SlowFacts::Subscriber Sink() {
    return [this](const v1::WatchEvent& event) { heard.push_back(Word(event)); };
  }
  std::vector<std::string> heard;

 private:
  static std::string Word(const v1::WatchEvent& event) {
    if (event.has_key()) return absl::StrCat("+key ", event.key().key_id());
    if (event.has_model())
      return absl::StrCat("+model ", event.model().model(), " v", event.model().price().version());
    if (event.synced()) return "synced";
    return event.key_removed().empty() ? absl::StrCat("-model ", event.model_removed())
                                       : absl::StrCat("-key ", event.key_removed());
  }
};

TEST(SlowFacts, AStateThenSyncedThenEveryChange) {
  SlowFacts facts("", "pepper");
  facts.PutKey(Key("k1"));
  facts.PutKey(Key("admin", KeyKind::kAdmin));
  facts.PutPrice(Price("m", 1));
  ASSERT_TRUE(facts.PutModel(GroupOf("m"), 1).ok());
  Listener listener;
  const uint64_t subscription = facts.Subscribe(listener.Sink());
  EXPECT_THAT(listener.heard, ElementsAre("+key k1", "+model m v1", "synced"));
  listener.heard.clear();
  facts.PutKey(Key("k2"));
  KeyRow revoked = Key("k1");
  revoked.revoked_ms = 5;
  facts.PutKey(revoked);
  facts.PutKey(revoked);
  facts.PutPrice(Price("m", 2));
  facts.KeepOnly("other");
  EXPECT_THAT(listener.heard, ElementsAre("+key k2", "-key k1", "+model m v2", "-model m"));
  facts.Unsubscribe(subscription);
  facts.PutKey(Key("k3"));
  EXPECT_EQ(listener.heard.size(), 4u);
}

TEST(SlowFacts, AModelIsPublishedWithItsPriceAndOnlyWhenItChanges) {
  SlowFacts facts("", "pepper");
  Listener listener;
  facts.Subscribe(listener.Sink());
  ASSERT_TRUE(facts.PutModel(GroupOf("m"), 1).ok());
  EXPECT_FALSE(facts.HasModel("m"));
  facts.PutPrice(Price("m", 1));
  EXPECT_TRUE(facts.HasModel("m"));
  ASSERT_TRUE(facts.PutModel(GroupOf("m"), 2).ok());  // the same again
  EXPECT_THAT(listener.heard, ElementsAre("synced", "+model m v1"));
}

TEST(SlowFacts, TheContextIsBoundedByTheKv) {
  SlowFacts facts("", "pepper");
  facts.PutPrice(Price("m", 1));
  v1::ModelFact model;
  facts.Subscribe([&](const v1::WatchEvent& event) {
    if (event.has_model()) model = event.model();
  });
  ASSERT_TRUE(facts.PutModel(GroupOf("m", 100), 1).ok());
  EXPECT_EQ(model.max_context(), 1600u);
  EXPECT_EQ(model.plain_context(), 1600u);
  ASSERT_TRUE(facts.PutModel(GroupOf("m", 1000), 1).ok());
  EXPECT_EQ(model.max_context(), 4096u);
  EXPECT_EQ(model.plain_context(), 2048u);
}

TEST(SlowFacts, SaltsDifferByAccountAndByInstallation) {
  auto salt_of = [](const std::string& pepper, const std::string& account) {
    SlowFacts facts("", pepper);
    KeyRow key = Key("k");
    key.account = account;
    facts.PutKey(key);
    std::string salt;
    facts.Subscribe([&](const v1::WatchEvent& event) {
      if (event.has_key()) salt = event.key().cache_salt();
    });
    return salt;
  };
  EXPECT_EQ(salt_of("p", "a"), salt_of("p", "a"));
  EXPECT_NE(salt_of("p", "a"), salt_of("p", "b"));
  EXPECT_NE(salt_of("p", "a"), salt_of("q", "a"));
}

TEST(SlowFacts, ModelsOutliveTheProcess) {
  const std::string path = absl::StrCat(testing::TempDir(), "/quire_models_", getpid());
  {
    SlowFacts facts(path, "pepper");
    ASSERT_TRUE(facts.Load().ok());  // there is no file yet
    ASSERT_TRUE(facts.PutModel(GroupOf("m"), 77).ok());
  }
  SlowFacts facts(path, "pepper");
  ASSERT_TRUE(facts.Load().ok());
  v1::ModelFact model;
  facts.Subscribe([&](const v1::WatchEvent& event) {
    if (event.has_model()) model = event.model();
  });
  facts.PutPrice(Price("m", 1));
  EXPECT_EQ(model.created_unix_s(), 77);
  EXPECT_EQ(model.bundle_digest(), std::string(32, 'd'));
  EXPECT_EQ(model.max_context(), 160u);
  ASSERT_TRUE(WriteFileAtomically(path, "{", 0600).ok());
  EXPECT_EQ(facts.Load().code(), absl::StatusCode::kDataLoss);
  unlink(path.c_str());
}

}  // namespace
}  // namespace quire::coordinator
