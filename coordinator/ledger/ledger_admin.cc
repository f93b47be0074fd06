// What the operator changes: accounts, keys and prices.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {
namespace {

bool IsPrice(int64_t nano_usd) { return nano_usd >= 0 && nano_usd <= kMaxPricePerToken; }

}  // namespace

absl::Status Ledger::NotLoaded() const {
  if (last_failure_.ok()) return absl::UnavailableError("the ledger is not loaded; try again");
  return absl::UnavailableError(absl::StrCat("the ledger can't write (", MessageOf(last_failure_),
                                             "): see to that; it goes on by itself then"));
}

void Ledger::PutAccount(const std::string& account, std::optional<int64_t> cap_nano_usd,
                        Reply<AccountRow> reply) {
  if (!loaded_) return reply(NotLoaded());
  if (account.empty() || cap_nano_usd.value_or(0) < 0) {
    return reply(absl::InvalidArgumentError("an account needs a name, and a cap of at least 0 (or none)"));
  }
  AccountRow& row = accounts_[account];
  row.id = account;
  row.cap_nano_usd = cap_nano_usd;
  changed_accounts_.insert(account);
  ReplyAfterCommit<AccountRow>(row, std::move(reply));
}

void Ledger::CreateKey(KeyRow key, Reply<KeyRow> reply, std::optional<NewCap> cap) {
  if (!loaded_) return reply(NotLoaded());
  if (key.id.empty() || key.hmac.size() != Digest{}.size() || key.account.empty() ||
      (cap && cap->nano_usd.value_or(0) < 0)) {
    return reply(absl::InvalidArgumentError(
        "a key needs an id, a 32-byte HMAC and an account, whose cap is at least 0 (or none)"));
  }
  if (keys_.contains(key.id)) return reply(absl::AlreadyExistsError("there is a key of this id"));
  if (const bool is_new = !accounts_.contains(key.account); is_new || cap) {
    AccountRow& account = accounts_[key.account];
    account.id = key.account;
    if (cap) account.cap_nano_usd = cap->nano_usd;
    changed_accounts_.insert(key.account);
  }
  key.revoked_ms = 0;
  changed_keys_.insert(key.id);
  keys_.emplace(key.id, key);
  ReplyAfterCommit<KeyRow>(std::move(key), std::move(reply));
}

void Ledger::RevokeKey(const std::string& key_id, int64_t unix_ms, Reply<KeyRow> reply) {
  if (!loaded_) return reply(NotLoaded());
  const auto key = keys_.find(key_id);
  if (key == keys_.end()) return reply(absl::NotFoundError("there is no key of this id"));
  if (IsLastAdminKey(key->second)) {
    return reply(absl::PermissionDeniedError("this is the last admin key: create another one first"));
  }
  if (key->second.revoked_ms == 0) {
    key->second.revoked_ms = std::max<int64_t>(unix_ms, 1);
    changed_keys_.insert(key_id);
  }
  ReplyAfterCommit<KeyRow>(key->second, std::move(reply));
}

bool Ledger::IsLastAdminKey(const KeyRow& key) const {
  if (key.kind != KeyKind::kAdmin || key.revoked_ms != 0) return false;
  return std::none_of(keys_.begin(), keys_.end(), [&](const auto& entry) {
    const KeyRow& other = entry.second;
    return other.kind == KeyKind::kAdmin && other.revoked_ms == 0 && other.id != key.id;
  });
}

void Ledger::SetPrice(const std::string& model, TokenPrice price, Reply<PriceRow> reply) {
  if (!loaded_) return reply(NotLoaded());
  if (model.empty() || !IsPrice(price.prompt) || !IsPrice(price.cached_prompt) ||
      !IsPrice(price.completion)) {
    return reply(absl::InvalidArgumentError(
        absl::StrCat("a price needs a model and 0..", kMaxPricePerToken, " nano-dollars per token")));
  }
  std::map<uint64_t, TokenPrice>& versions = prices_[model];
  price.version = versions.empty() ? 0 : versions.rbegin()->first;
  if (versions.empty() || price != versions.rbegin()->second) {
    ++price.version;
    versions.emplace(price.version, price);
    new_prices_.push_back({model, price});
  }
  ReplyAfterCommit<PriceRow>(PriceRow{model, price}, std::move(reply));
}

void Ledger::GetFacts(Reply<LedgerFacts> reply) {
  if (!loaded_) return reply(NotLoaded());
  LedgerFacts facts;
  for (const auto& [id, row] : accounts_) facts.accounts.push_back(row);
  for (const auto& [id, row] : keys_) facts.keys.push_back(row);
  for (const auto& [model, versions] : prices_) facts.prices.push_back({model, versions.rbegin()->second});
  ReplyAfterCommit<LedgerFacts>(std::move(facts), std::move(reply));
}

}  // namespace quire::coordinator
