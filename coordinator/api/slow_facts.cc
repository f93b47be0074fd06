#include "coordinator/api/slow_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
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

// A request may not need more than the group's whole KV, so that is a limit of the context too.
v1::ModelFact FactOf(const v1::GroupInfo& group, int64_t created_unix_s) {
  const uint64_t max_context = std::min(group.max_context(), group.kv_blocks() * group.block_tokens());
  v1::ModelFact model;
  model.set_model(group.model());
  model.set_bundle_digest(group.bundle_digest());
  model.set_max_context(max_context);
  model.set_plain_context(std::min(group.plain_context(), max_context));
  model.set_max_output_tokens(max_context);
  model.set_created_unix_s(created_unix_s);
  model.set_owned_by("quire");
  return model;
}

}  // namespace

SlowFacts::SlowFacts(std::string path, std::string pepper)
    : path_(std::move(path)), pepper_(std::move(pepper)) {}

absl::Status SlowFacts::Load() {
  const absl::StatusOr<std::string> content = ReadWholeFile(path_);
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  if (!content.ok()) return content.status();
  const json root = json::parse(*content, nullptr, false);
  if (!root.is_array()) {
    return absl::DataLossError(
        absl::StrCat(path_, " is damaged: delete it; workers bring it back when they register"));
  }
  MutexLock lock(&mutex_);
  for (const json& object : root) {
    if (std::optional<v1::ModelFact> model = FromJson(object)) models_[model->model()] = *model;
  }
  return absl::OkStatus();
}

absl::Status SlowFacts::Save() {
  if (path_.empty()) return absl::OkStatus();
  json root = json::array();
  for (const auto& [name, model] : models_) root.push_back(ToJson(model));
  return WriteFileAtomically(path_, root.dump(2), 0600);
}

// ---- keys ----

void SlowFacts::PutKey(const KeyRow& key) {
  MutexLock lock(&mutex_);
  if (key.revoked_ms == 0) {
    keys_[key.id] = key;
    if (key.kind == KeyKind::kApi) Publish(KeyEvent(key));
    return;
  }
  if (keys_.erase(key.id) == 0 || key.kind != KeyKind::kApi) return;
  v1::WatchEvent event;
  event.set_key_removed(key.id);
  Publish(event);
}

std::optional<KeyRow> SlowFacts::FindKey(const std::string& id) const {
  MutexLock lock(&mutex_);
  auto it = keys_.find(id);
  return it == keys_.end() ? std::nullopt : std::optional<KeyRow>(it->second);
}

size_t SlowFacts::CountKeys(KeyKind kind) const {
  MutexLock lock(&mutex_);
  return static_cast<size_t>(std::count_if(keys_.begin(), keys_.end(),
                                           [&](const auto& entry) { return entry.second.kind == kind; }));
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

// ---- models ----

void SlowFacts::PutPrice(const PriceRow& price) {
  MutexLock lock(&mutex_);
  prices_[price.model] = price.price;
  auto model = models_.find(price.model);
  if (model != models_.end()) Publish(ModelEvent(model->second));
}

bool SlowFacts::HasPrice(const std::string& model) const {
  MutexLock lock(&mutex_);
  return prices_.contains(model);
}

absl::Status SlowFacts::PutModel(const v1::GroupInfo& group, int64_t unix_s) {
  MutexLock lock(&mutex_);
  auto known = models_.find(group.model());
  const v1::ModelFact fact = FactOf(group, known == models_.end() ? unix_s : known->second.created_unix_s());
  if (known != models_.end() && known->second.SerializeAsString() == fact.SerializeAsString())
    return absl::OkStatus();
  models_[group.model()] = fact;
  QUIRE_RETURN_IF_ERROR(Save());
  if (Published(fact)) Publish(ModelEvent(fact));
  return absl::OkStatus();
}

void SlowFacts::KeepOnly(const std::string& model) {
  MutexLock lock(&mutex_);
  for (auto it = models_.begin(); it != models_.end();) {
    if (it->first == model) {
      ++it;
      continue;
    }
    v1::WatchEvent event;
    event.set_model_removed(it->first);
    it = models_.erase(it);
    Publish(event);
  }
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

// ---- subscribers ----

uint64_t SlowFacts::Subscribe(Subscriber subscriber) {
  MutexLock lock(&mutex_);
  for (const auto& [id, key] : keys_) {
    if (key.kind == KeyKind::kApi) subscriber(KeyEvent(key));
  }
  for (const auto& [name, model] : models_) {
    if (Published(model)) subscriber(ModelEvent(model));
  }
  v1::WatchEvent synced;
  synced.set_synced(true);
  subscriber(synced);
  subscribers_[++last_subscription_] = std::move(subscriber);
  return last_subscription_;
}

void SlowFacts::Unsubscribe(uint64_t subscription) {
  MutexLock lock(&mutex_);
  subscribers_.erase(subscription);
}

void SlowFacts::Publish(const v1::WatchEvent& event) {
  for (const auto& [id, subscriber] : subscribers_) subscriber(event);
}

}  // namespace quire::coordinator
