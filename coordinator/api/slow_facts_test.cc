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

v1::GroupInfo GroupOf(const std::string& model, uint64_t kv_blocks = 10, const std::string& id = "g0") {
  v1::GroupInfo group;
  group.set_group_id(id);
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

// What a gateway hears, in a word per event, as soon as it is said.
class Listener {
 public:
  explicit Listener(SlowFacts* facts) : facts_(facts) {
    subscription = facts_->Subscribe([this] { Listen(); });
    Listen();
  }
  void Listen() {
    while (const auto event = facts_->Next(subscription)) {
      heard.push_back(Word(*event));
      if (event->has_key()) key = event->key();
      if (event->has_model()) model = event->model();
    }
  }
  std::vector<std::string> heard;
  v1::KeyFact key;      // the last
  v1::ModelFact model;  // the last
  uint64_t subscription = 0;

 private:
  static std::string Word(const v1::WatchEvent& event) {
    if (event.has_key()) return absl::StrCat("+key ", event.key().key_id());
    if (event.has_model())
      return absl::StrCat("+model ", event.model().model(), " v", event.model().price().version());
    if (event.synced()) return "synced";
    return event.key_removed().empty() ? absl::StrCat("-model ", event.model_removed())
                                       : absl::StrCat("-key ", event.key_removed());
  }
  SlowFacts* const facts_;
};

TEST(SlowFacts, AStateThenSyncedThenEveryChange) {
  SlowFacts facts("", "pepper");
  facts.PutKey(Key("k1"));
  facts.PutKey(Key("admin", KeyKind::kAdmin));
  facts.PutPrice(Price("m", 1));
  ASSERT_TRUE(facts.PutModel(GroupOf("m"), 1).ok());
  Listener listener(&facts);
  EXPECT_THAT(listener.heard, ElementsAre("+key k1", "+model m v1", "synced"));
  listener.heard.clear();
  facts.PutKey(Key("k2"));
  KeyRow revoked = Key("k1");
  revoked.revoked_ms = 5;
  facts.PutKey(revoked);
  facts.PutKey(revoked);
  facts.PutPrice(Price("m", 2));
  ASSERT_TRUE(facts.PutModel(GroupOf("m", 11), 1).ok());
  EXPECT_THAT(listener.heard, ElementsAre("+key k2", "-key k1", "+model m v2", "+model m v2"));
  facts.Unsubscribe(listener.subscription);
  facts.PutKey(Key("k3"));
  EXPECT_EQ(listener.heard.size(), 4u);
}

TEST(SlowFacts, AReaderThatIsSlowMissesNoChangeAndHearsEachFactOnce) {
  SlowFacts facts("", "pepper");
  for (const char* id : {"b", "d", "f"}) facts.PutKey(Key(id));
  int wakes = 0;
  const uint64_t reader = facts.Subscribe([&] { ++wakes; });
  const auto next = [&] { return facts.Next(reader); };
  EXPECT_EQ(next()->key().key_id(), "b");
  EXPECT_EQ(next()->key().key_id(), "d");
  for (const char* id : {"b", "f"}) {  // one that it has been sent, one that is to come
    KeyRow revoked = Key(id);
    revoked.revoked_ms = 5;
    facts.PutKey(revoked);
  }
  facts.PutKey(Key("a"));
  facts.PutKey(Key("e"));
  for (int i = 0; i < 3; ++i) {
    KeyRow renamed = Key("d");
    renamed.account = absl::StrCat("account ", i);
    facts.PutKey(renamed);
  }
  EXPECT_EQ(next()->key().key_id(), "e");
  EXPECT_TRUE(next()->synced());
  EXPECT_EQ(next()->key_removed(), "b");
  EXPECT_EQ(next()->key().key_id(), "a");
  EXPECT_EQ(next()->key().account_id(), "account 2");
  EXPECT_EQ(wakes, 0);
  EXPECT_FALSE(next().has_value());
  facts.PutKey(Key("g"));
  facts.PutKey(Key("h"));
  EXPECT_EQ(wakes, 1);
  EXPECT_EQ(next()->key().key_id(), "g");
}

TEST(SlowFacts, AllKeysAndAccountsCanBeListed) {
  SlowFacts facts("", "pepper");
  KeyRow revoked = Key("a");
  facts.PutKey(revoked);
  revoked.revoked_ms = 5;
  facts.PutKey(revoked);
  facts.PutKey(Key("b"));
  EXPECT_THAT(facts.AllKeys(), ElementsAre(revoked, Key("b")));
  facts.PutAccount({.id = "acme", .cap_nano_usd = 7});
  EXPECT_THAT(facts.Accounts(), ElementsAre(AccountRow{.id = "acme", .cap_nano_usd = 7}));
}

TEST(SlowFacts, SeventyThousandKeysAreTakenOneByOne) {
  SlowFacts facts("", "pepper");
  constexpr size_t kKeys = 70'000;
  for (size_t i = 0; i < kKeys; ++i) facts.PutKey(Key(absl::StrCat("key ", i)));
  EXPECT_EQ(Listener(&facts).heard.size(), kKeys + 1);
}

TEST(SlowFacts, WhatCanBeAffordedIsPromptAndAPositionPerChoice) {
  SlowFacts facts("", "pepper");
  facts.PutPrice(Price("m", 1));
  v1::AdmitRequest request;
  request.set_model("m");
  request.set_prompt_tokens(10);
  request.set_choices(2);
  EXPECT_TRUE(facts.CanAfford("acme", request));  // not known to be poor
  AccountRow account{
      .id = "acme", .cap_nano_usd = 10 * 75 + 2 * 150 + 7, .balance_nano_usd = 3, .held_nano_usd = 4};
  facts.PutAccount(account);
  EXPECT_TRUE(facts.CanAfford("acme", request));
  account.held_nano_usd = 5;
  facts.PutAccount(account);
  EXPECT_FALSE(facts.CanAfford("acme", request));
  account.cap_nano_usd.reset();
  facts.PutAccount(account);
  EXPECT_TRUE(facts.CanAfford("acme", request));
}

TEST(SlowFacts, AModelIsPublishedWithItsPriceAndOnlyWhenItChanges) {
  SlowFacts facts("", "pepper");
  Listener listener(&facts);
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
  const Listener listener(&facts);
  const v1::ModelFact& model = listener.model;
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
    return Listener(&facts).key.cache_salt();
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
  const Listener listener(&facts);
  const v1::ModelFact& model = listener.model;
  facts.PutPrice(Price("m", 1));
  EXPECT_EQ(model.created_unix_s(), 77);
  EXPECT_EQ(model.bundle_digest(), std::string(32, 'd'));
  EXPECT_EQ(model.max_context(), 160u);
  ASSERT_TRUE(WriteFileAtomically(path, "{", 0600).ok());
  EXPECT_EQ(facts.Load().code(), absl::StatusCode::kFailedPrecondition);
  unlink(path.c_str());
}

TEST(SlowFacts, AModelThatCouldNotBeWrittenIsPublishedByTheNextTry) {
  bool full = true;
  std::string written;
  const auto write = [&](const std::string&, std::string_view content, mode_t) -> absl::Status {
    if (full) return absl::ResourceExhaustedError("the disk is full");
    written = std::string(content);
    return absl::OkStatus();
  };
  SlowFacts facts("no file", "pepper", write);
  facts.PutPrice(Price("m", 1));
  const Listener listener(&facts);
  EXPECT_TRUE(absl::IsResourceExhausted(facts.PutModel(GroupOf("m"), 1).status()));
  EXPECT_FALSE(facts.HasModel("m"));
  full = false;
  ASSERT_TRUE(facts.PutModel(GroupOf("m"), 1).ok());
  EXPECT_TRUE(facts.HasModel("m"));
  EXPECT_THAT(written, testing::HasSubstr("\"model\": \"m\""));
  EXPECT_THAT(listener.heard, ElementsAre("synced", "+model m v1"));
}

// ---- the groups of one model ----

TEST(SlowFacts, AModelSaysHowManyGroupsServeIt) {
  SlowFacts facts("", "pepper");
  facts.PutPrice(Price("m", 1));
  const Listener listener(&facts);
  const v1::ModelFact& model = listener.model;
  const uint64_t first = *facts.PutModel(GroupOf("m", 10, "a"), 1);
  EXPECT_EQ(model.groups_ready(), 1u);
  const uint64_t second = *facts.PutModel(GroupOf("m", 10, "b"), 1);
  EXPECT_EQ(model.groups_ready(), 2u);
  const uint64_t again = *facts.PutModel(GroupOf("m", 10, "a"), 1);
  EXPECT_EQ(model.groups_ready(), 2u);
  facts.GroupLeft("a", first);
  EXPECT_EQ(model.groups_ready(), 2u);
  facts.GroupLeft("a", again);
  EXPECT_EQ(model.groups_ready(), 1u);
  facts.GroupLeft("b", second);
  EXPECT_EQ(model.groups_ready(), 0u);
  EXPECT_EQ(model.max_context(), 160u);
}

TEST(SlowFacts, TheLargestLiveGroupSaysTheContext) {
  SlowFacts facts("", "pepper");
  facts.PutPrice(Price("m", 1));
  const Listener listener(&facts);
  const v1::ModelFact& model = listener.model;
  const uint64_t large = *facts.PutModel(GroupOf("m", 200, "large"), 1);
  EXPECT_EQ(model.max_context(), 3200u);
  const uint64_t small = *facts.PutModel(GroupOf("m", 20, "small"), 1);
  EXPECT_EQ(model.max_context(), 3200u);
  EXPECT_EQ(model.max_output_tokens(), 3200u);
  EXPECT_EQ(model.plain_context(), 2048u);
  const uint64_t again = *facts.PutModel(GroupOf("m", 100, "large"), 1);  // restarted with less
  EXPECT_EQ(model.max_context(), 1600u);
  facts.GroupLeft("large", large);  // its older stream ends late
  EXPECT_EQ(model.max_context(), 1600u);
  facts.GroupLeft("large", again);
  EXPECT_EQ(model.max_context(), 320u);
  facts.GroupLeft("small", small);
  EXPECT_EQ(model.max_context(), 320u);  // the last one's word stays
  EXPECT_TRUE(facts.HasModel("m"));
}

TEST(SlowFacts, AGroupThatChangesItsModelLeavesTheOldOne) {
  SlowFacts facts("", "pepper");
  for (const char* name : {"m", "n"}) facts.PutPrice(Price(name, 1));
  const Listener listener(&facts);
  ASSERT_TRUE(facts.PutModel(GroupOf("m", 20, "small"), 1).ok());
  ASSERT_TRUE(facts.PutModel(GroupOf("m", 200, "large"), 1).ok());
  ASSERT_TRUE(facts.PutModel(GroupOf("n", 200, "large"), 1).ok());
  EXPECT_EQ(listener.model.model(), "m");
  EXPECT_EQ(listener.model.max_context(), 320u);
}

TEST(SlowFacts, LiveGroupsOfAModelHaveOneTextBundle) {
  SlowFacts facts("", "pepper");
  facts.PutPrice(Price("m", 1));
  const Listener listener(&facts);
  const uint64_t first = *facts.PutModel(GroupOf("m", 10, "a"), 1);
  v1::GroupInfo other = GroupOf("m", 20, "b");
  other.set_bundle_digest(std::string(32, 'e'));
  const absl::Status refused = facts.PutModel(other, 1).status();
  EXPECT_TRUE(absl::IsAlreadyExists(refused));  // not FailedPrecondition, which ends a worker
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("group a serves m with other text files"));
  EXPECT_EQ(listener.model.bundle_digest(), std::string(32, 'd'));
  EXPECT_EQ(listener.model.max_context(), 160u);
  facts.GroupLeft("a", first);
  ASSERT_TRUE(facts.PutModel(other, 1).ok());
  EXPECT_EQ(listener.model.bundle_digest(), std::string(32, 'e'));
  EXPECT_EQ(listener.model.max_context(), 320u);
  other.set_bundle_digest(std::string(32, 'f'));  // the same group, with new files
  EXPECT_TRUE(facts.PutModel(other, 1).ok());
  EXPECT_EQ(listener.model.bundle_digest(), std::string(32, 'f'));
}

TEST(SlowFacts, ARestartForgetsOnlyTheModelThatWasServedLocally) {
  const std::string path = absl::StrCat(testing::TempDir(), "/quire_local_models_", getpid());
  const auto start = [&](const std::string& local) {
    auto facts = std::make_unique<SlowFacts>(path, "pepper");
    EXPECT_TRUE(facts->Load().ok());
    facts->ServeLocally(local);
    return facts;
  };
  for (int i = 0; i < 2; ++i) {
    const auto facts = start("mine");
    ASSERT_TRUE(facts->PutModel(GroupOf("mine"), 1).ok());
    if (i > 0) continue;
    ASSERT_TRUE(facts->PutModel(GroupOf("external", 10, "x"), 1).ok());
  }
  EXPECT_THAT(start("mine")->Models(), ElementsAre("external", "mine"));
  EXPECT_THAT(start("another")->Models(), ElementsAre("external"));
  unlink(path.c_str());
}

}  // namespace
}  // namespace quire::coordinator
