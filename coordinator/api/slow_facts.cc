#include "coordinator/api/slow_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/json_file.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

json ToJson(const v1::ModelFact& model) {
  json object = json::object();
  object["model"] = model.model();
  object["bundle_digest"] = absl::BytesToHexString(model.bundle_digest());
  object["max_context"] = model.max_context();
  object["plain_context"] = model.plain_context();
  object["created_unix_s"] = model.created_unix_s();
  return object;
}

std::optional<v1::ModelFact> FromJson(const json& object) {
  auto number = [&](const char* key) -> uint64_t {
    auto it = object.find(key);
    return it != object.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
  };
  auto text = [&](const char* key) -> std::string {
    auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : "";
  };
  if (!object.is_object() || text("model").empty() || number("max_context") == 0) return std::nullopt;
  v1::ModelFact model;
  model.set_model(text("model"));
  model.set_bundle_digest(absl::HexStringToBytes(text("bundle_digest")));
  model.set_max_context(number("max_context"));
  model.set_plain_context(number("plain_context"));
  model.set_max_output_tokens(number("max_context"));
  model.set_created_unix_s(static_cast<int64_t>(number("created_unix_s")));
  model.set_owned_by("quire");
  return model;
}

}  // namespace

class SlowFacts::Change {
 public:
  ~Change() {
    for (const Wake& wake : wakes_) wake();
  }
  // `fact` is new, changed or gone: whoever has been sent it must hear of it. Who is still before it will
  // come by.
  void Of(const Fact& fact, std::map<uint64_t, Reader>& readers) {
    for (auto& [id, reader] : readers) {
      const bool passed = reader.synced || (reader.at && fact <= *reader.at);
      if (!passed || !reader.is_changed.insert(fact).second) continue;
      reader.changed.push_back(fact);
      if (std::exchange(reader.idle, false)) wakes_.push_back(reader.wake);
    }
  }

 private:
  std::vector<Wake> wakes_;
};

SlowFacts::SlowFacts(std::string path, std::string pepper, FileWriter write)
    : path_(std::move(path)), pepper_(std::move(pepper)), write_(std::move(write)) {}

absl::Status SlowFacts::Load() {
  absl::StatusOr<std::string> content = ReadWholeFile(path_);
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  if (!content.ok()) return content.status();
  const json root = ParseJsonText(*content);
  if (!root.is_array()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " is damaged: delete it; workers bring it back when they register"));
  }
  MutexLock saving(&save_mutex_);
  saved_ = *std::move(content);
  MutexLock lock(&mutex_);
  for (const json& object : root) {
    const std::optional<v1::ModelFact> model = FromJson(object);
    if (!model) continue;
    models_[model->model()] = *model;
    if (object.value("local", json()) == true) local_models_.insert(model->model());
  }
  return absl::OkStatus();
}

absl::Status SlowFacts::Save(const std::map<std::string, v1::ModelFact>& models) {
  if (path_.empty()) return absl::OkStatus();
  json root = json::array();
  for (const auto& [name, model] : models) {
    root.push_back(ToJson(model));
    if (local_models_.contains(name)) root.back()["local"] = true;
  }
  std::string content = root.dump(2);
  if (content == saved_) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(write_(path_, content, 0600));
  saved_ = std::move(content);
  return absl::OkStatus();
}

// ---- keys ----

void SlowFacts::PutKey(const KeyRow& key) {
  Change change;
  MutexLock lock(&mutex_);
  const auto known = keys_.find(key.id);
  if (key.revoked_ms != 0) {
    revoked_keys_[key.id] = key;
    if (known == keys_.end()) return;
    keys_.erase(known);
  } else {
    if (known != keys_.end() && known->second == key) return;
    keys_[key.id] = key;
  }
  if (key.kind == KeyKind::kApi) change.Of({false, key.id}, readers_);
}

std::optional<KeyRow> SlowFacts::FindKey(const std::string& id) const {
  MutexLock lock(&mutex_);
  auto it = keys_.find(id);
  return it == keys_.end() ? std::nullopt : std::optional<KeyRow>(it->second);
}

std::vector<KeyRow> SlowFacts::AllKeys() const {
  MutexLock lock(&mutex_);
  std::vector<KeyRow> keys;
  for (const auto& [id, key] : keys_) keys.push_back(key);
  for (const auto& [id, key] : revoked_keys_) keys.push_back(key);
  std::sort(keys.begin(), keys.end(), [](const KeyRow& a, const KeyRow& b) { return a.id < b.id; });
  return keys;
}

v1::WatchEvent SlowFacts::KeyEvent(const KeyRow& key) const {
  v1::WatchEvent event;
  v1::KeyFact& fact = *event.mutable_key();
  fact.set_key_id(key.id);
  fact.set_key_hmac(key.hmac);
  fact.set_account_id(key.account);
  for (const std::string& model : key.models) fact.add_models(model);
  fact.set_cache_salt(ToBytes(HmacSha256(pepper_, absl::StrCat("cache salt of account ", key.account))));
  return event;
}

// ---- accounts ----

void SlowFacts::PutAccount(const AccountRow& account) {
  MutexLock lock(&mutex_);
  accounts_[account.id] = account;
}

std::vector<AccountRow> SlowFacts::Accounts() const {
  MutexLock lock(&mutex_);
  std::vector<AccountRow> accounts;
  for (const auto& [id, account] : accounts_) accounts.push_back(account);
  return accounts;
}

bool SlowFacts::CanAfford(const std::string& account, const v1::AdmitRequest& request) const {
  MutexLock lock(&mutex_);
  const auto known = accounts_.find(account);
  const auto price = prices_.find(request.model());
  if (known == accounts_.end() || price == prices_.end() || !known->second.cap_nano_usd) return true;
  const AccountRow& row = known->second;
  return HoldNanoUsd(price->second, request.prompt_tokens(), request.choices()) <=
         *row.cap_nano_usd - row.balance_nano_usd - row.held_nano_usd;
}

// ---- models ----

void SlowFacts::PutPrice(const PriceRow& price) {
  Change change;
  MutexLock lock(&mutex_);
  const auto known = prices_.find(price.model);
  if (known != prices_.end() && known->second == price.price) return;
  prices_[price.model] = price.price;
  if (models_.contains(price.model)) change.Of({true, price.model}, readers_);
}

bool SlowFacts::HasPrice(const std::string& model) const {
  MutexLock lock(&mutex_);
  return prices_.contains(model);
}

absl::StatusOr<uint64_t> SlowFacts::PutModel(const v1::GroupInfo& group, int64_t unix_s) {
  Change change;
  MutexLock saving(&save_mutex_);
  std::map<std::string, v1::ModelFact> models;
  LiveGroup live{group.model(), group.bundle_digest()};
  {
    MutexLock lock(&mutex_);
    QUIRE_RETURN_IF_ERROR(CheckBundle(group));
    v1::ModelFact fact = FactOf(group, unix_s);
    live.max_context = fact.max_context();
    live.plain_context = fact.plain_context();
    Widen(fact, group.group_id());
    models = models_;
    models[group.model()] = std::move(fact);
  }
  QUIRE_RETURN_IF_ERROR(Save(models));
  MutexLock lock(&mutex_);
  live.number = ++last_number_;
  const auto before = live_groups_.find(group.group_id());
  const std::string model_before = before == live_groups_.end() ? group.model() : before->second.model;
  const uint64_t number = live.number;
  live_groups_[group.group_id()] = std::move(live);
  v1::ModelFact& known = models_[group.model()];
  if (known.bundle_digest() != group.bundle_digest()) {
    known = models[group.model()];
    if (Published(known)) change.Of({true, group.model()}, readers_);
  }
  Refresh(group.model(), change);
  if (model_before != group.model()) Refresh(model_before, change);
  return number;
}

void SlowFacts::GroupLeft(const std::string& group_id, uint64_t number) {
  Change change;
  MutexLock lock(&mutex_);
  const auto live = live_groups_.find(group_id);
  if (live == live_groups_.end() || live->second.number != number) return;
  const std::string model = live->second.model;
  live_groups_.erase(live);
  Refresh(model, change);
}

// The router picks by the model's name: ids of one tokenizer must not reach a group of another.
absl::Status SlowFacts::CheckBundle(const v1::GroupInfo& group) const {
  for (const auto& [id, live] : live_groups_) {
    if (id == group.group_id() || live.model != group.model() || live.bundle_digest == group.bundle_digest())
      continue;
    return absl::AlreadyExistsError(
        absl::StrCat("group ", id, " serves ", live.model,
                     " with other text files (tokenizer or template): stop it first, or give this group "
                     "another --model-name"));
  }
  return absl::OkStatus();
}

// A request may not need more than the group's whole KV, so that is a limit of the context too.
v1::ModelFact SlowFacts::FactOf(const v1::GroupInfo& group, int64_t unix_s) const {
  const uint64_t max_context = std::min(group.max_context(), group.kv_blocks() * group.block_tokens());
  const auto known = models_.find(group.model());
  v1::ModelFact model;
  model.set_model(group.model());
  model.set_bundle_digest(group.bundle_digest());
  model.set_max_context(max_context);
  model.set_plain_context(std::min(group.plain_context(), max_context));
  model.set_max_output_tokens(max_context);
  model.set_created_unix_s(known == models_.end() ? unix_s : known->second.created_unix_s());
  model.set_owned_by("quire");
  return model;
}

// To the largest of the model's live groups. False: there is none.
bool SlowFacts::Widen(v1::ModelFact& fact, const std::string& except_group) const {
  bool any = false;
  for (const auto& [id, live] : live_groups_) {
    if (live.model != fact.model() || id == except_group) continue;
    any = true;
    fact.set_groups_ready(fact.groups_ready() + 1);
    fact.set_max_context(std::max(fact.max_context(), live.max_context));
    fact.set_plain_context(std::max(fact.plain_context(), live.plain_context));
  }
  fact.set_max_output_tokens(fact.max_context());
  return any;
}

void SlowFacts::Refresh(const std::string& model, Change& change) {
  const auto known = models_.find(model);
  if (known == models_.end()) return;
  v1::ModelFact fact = known->second;
  fact.set_max_context(0);
  fact.set_plain_context(0);
  fact.set_groups_ready(0);
  if (!Widen(fact, "")) {
    fact = known->second;
    fact.set_groups_ready(0);
  }
  if (fact.SerializeAsString() == known->second.SerializeAsString()) return;
  known->second = std::move(fact);
  if (Published(known->second)) change.Of({true, model}, readers_);
}

void SlowFacts::ServeLocally(const std::string& model) {
  Change change;
  MutexLock saving(&save_mutex_);
  MutexLock lock(&mutex_);
  for (const std::string& before : local_models_) {
    if (before != model && models_.erase(before) > 0) change.Of({true, before}, readers_);
  }
  local_models_ = {model};
}

bool SlowFacts::HasModel(const std::string& model) const {
  MutexLock lock(&mutex_);
  auto it = models_.find(model);
  return it != models_.end() && Published(it->second);
}

std::vector<std::string> SlowFacts::Models() const {
  MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) names.push_back(name);
  return names;
}

bool SlowFacts::Published(const v1::ModelFact& model) const { return prices_.contains(model.model()); }

v1::WatchEvent SlowFacts::ModelEvent(const v1::ModelFact& model) const {
  v1::WatchEvent event;
  *event.mutable_model() = model;
  const TokenPrice& price = prices_.at(model.model());
  v1::Price& out = *event.mutable_model()->mutable_price();
  out.set_version(price.version);
  out.set_prompt_nano_usd(price.prompt);
  out.set_cached_prompt_nano_usd(price.cached_prompt);
  out.set_completion_nano_usd(price.completion);
  return event;
}

// ---- readers ----

uint64_t SlowFacts::Subscribe(Wake wake) {
  MutexLock lock(&mutex_);
  readers_[++last_subscription_].wake = std::move(wake);
  return last_subscription_;
}

void SlowFacts::Unsubscribe(uint64_t subscription) {
  MutexLock lock(&mutex_);
  readers_.erase(subscription);
}

std::optional<v1::WatchEvent> SlowFacts::Next(uint64_t subscription) {
  MutexLock lock(&mutex_);
  const auto found = readers_.find(subscription);
  if (found == readers_.end()) return std::nullopt;
  Reader& reader = found->second;
  if (!reader.synced) {
    reader.at = After(reader.at);
    if (reader.at) return EventOf(*reader.at);
    reader.synced = true;
    v1::WatchEvent synced;
    synced.set_synced(true);
    return synced;
  }
  reader.idle = reader.changed.empty();
  if (reader.idle) return std::nullopt;
  const Fact fact = std::move(reader.changed.front());
  reader.changed.pop_front();
  reader.is_changed.erase(fact);
  return EventOf(fact);
}

// The next fact of the state: API keys first, then published models.
std::optional<SlowFacts::Fact> SlowFacts::After(const std::optional<Fact>& fact) const {
  if (!fact || !fact->is_model) {
    auto key = fact ? keys_.upper_bound(fact->id) : keys_.begin();
    while (key != keys_.end() && key->second.kind != KeyKind::kApi) ++key;
    if (key != keys_.end()) return Fact{false, key->first};
  }
  auto model = fact && fact->is_model ? models_.upper_bound(fact->id) : models_.begin();
  while (model != models_.end() && !Published(model->second)) ++model;
  return model == models_.end() ? std::nullopt : std::optional(Fact{true, model->first});
}

v1::WatchEvent SlowFacts::EventOf(const Fact& fact) const {
  v1::WatchEvent gone;
  if (fact.is_model) {
    const auto model = models_.find(fact.id);
    if (model != models_.end() && Published(model->second)) return ModelEvent(model->second);
    gone.set_model_removed(fact.id);
  } else {
    const auto key = keys_.find(fact.id);
    if (key != keys_.end()) return KeyEvent(key->second);
    gone.set_key_removed(fact.id);
  }
  return gone;
}

}  // namespace quire::coordinator
