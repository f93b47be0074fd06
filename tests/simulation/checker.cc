#include "tests/simulation/checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::simulation {

void Checker::Violate(const std::string& what) {
  if (!violation_) violation_ = what;
}

void Checker::Require(bool holds, const RequestId& id, const std::string& what) {
  if (!holds) Violate(absl::StrCat("request ", id.ToHex().substr(0, 8), ": ", what));
}

// ---- gateways and clients ----

void Checker::Started(const RequestId& id, uint64_t prompt_tokens, uint32_t choices) {
  seen_[id].prompt_tokens = prompt_tokens;
  seen_[id].choices = choices;
}

void Checker::Accepted(const RequestId& id, uint64_t position, uint64_t accepted) {
  Require(position == accepted, id,
          absl::StrCat("token ", position, " was accepted as the ", accepted, "th: text of two attempts"));
}

void Checker::Delivered(const RequestId& id, uint32_t choice, uint64_t positions, uint64_t cached_tokens) {
  Seen& seen = seen_[id];
  if (seen.delivered_total == 0) seen.cached_tokens = cached_tokens;
  seen.delivered[choice] += positions;
  seen.delivered_total += positions;
  const auto row = disk_->requests().find(id);
  if (row == disk_->requests().end()) return Require(false, id, "delivered before any hold was durable");
  Require(row->second.state == coordinator::RequestState::kOpen, id, "delivered after it was closed");
  Require(
      seen.delivered_total <= row->second.granted, id,
      absl::StrCat("delivered ", seen.delivered_total, " under a durable grant of ", row->second.granted));
}

void Checker::UsageRead(const RequestId& id, const gateway::Usage& usage) {
  Seen& seen = seen_[id];
  Require(!seen.usage.has_value(), id, "two usage frames");
  const uint64_t tokens = IsEchoAlone(id) ? 0 : seen.delivered_total;
  Require(usage.counts.completion == tokens, id, "usage counts what was not delivered");
  seen.usage = usage;
}

// Each group answers for its own tokens, and for all of them.
void Checker::SettleSent(const v1::RequestSettle& settle) {
  const RequestId id = *RequestId::FromBytes(settle.request_id());
  uint64_t left = 0;
  for (const v1::ChoiceTokens& choice : settle.delivered()) left += choice.tokens();
  for (const v1::GroupTokens& by : settle.made_by()) {
    const Group group{std::stoi(by.group_id()), by.group_epoch()};
    Require(by.tokens() <= seen_[id].made[group], id,
            absl::StrCat("group ", by.group_id(), " is charged with ", by.tokens(), " tokens, it made ",
                         seen_[id].made[group]));
    Require(by.tokens() <= left, id, "more tokens are charged to groups than were delivered");
    left -= std::min(left, by.tokens());
  }
  Require(left == 0, id, absl::StrCat(left, " delivered tokens are charged to no group"));
}

void Checker::Granted(const RequestId& id, const v1::Grant& grant, int64_t sent_us) {
  const auto row = disk_->requests().find(id);
  const bool stands = row != disk_->requests().end() && row->second.granted >= grant.positions();
  Require(stands || forgotten_.contains(id), id, "a grant was answered that is not durable");
  seen_[id].acked_us = std::max(seen_[id].acked_us, sent_us);
}

void Checker::ProgressAnswered(const v1::RequestProgress& sent, const v1::ProgressResult& result,
                               int64_t sent_us) {
  const RequestId id = *RequestId::FromBytes(sent.request_id());
  const auto row = disk_->requests().find(id);
  if (row == disk_->requests().end()) {
    return Require(forgotten_.contains(id), id, "a progress was answered of an unknown request");
  }
  Require(row->second.granted >= result.granted_positions(), id,
          "an extension was answered that is not durable");
  if (result.stop() == v1::STOP_CLOSED) {
    return Require(row->second.state == coordinator::RequestState::kClosed, id,
                   "told closed, but it is open");
  }
  uint64_t said = 0;
  for (const v1::ChoiceTokens& choice : sent.delivered()) {
    said += choice.tokens();
    const auto durable = row->second.delivered.find(choice.choice());
    const uint64_t tokens = durable == row->second.delivered.end() ? 0 : durable->second;
    Require(tokens >= choice.tokens(), id, "a progress was acknowledged that is not durable");
  }
  seen_[id].acked_delivered = std::max(seen_[id].acked_delivered, said);
  seen_[id].acked_us = std::max(seen_[id].acked_us, sent_us);
}

void Checker::SettleAnswered(const RequestId& id, int64_t amount) {
  const auto row = disk_->requests().find(id);
  const bool stands =
      row != disk_->requests().end() && row->second.state == coordinator::RequestState::kClosed;
  Require(stands || forgotten_.contains(id), id, "a settle was acknowledged that is not durable");
  const auto entry = disk_->entries().find(id);
  const int64_t posted = entry == disk_->entries().end() ? 0 : entry->second.amount_nano_usd;
  Require(posted == amount, id, absl::StrCat("a settle answered ", amount, ", posted is ", posted));
  if (!seen_[id].gateway_died) seen_[id].settled = true;
}

// ---- the disk ----

void Checker::BeforeCommit() {
  old_accounts_ = disk_->accounts();
  old_keys_ = disk_->keys();
}

void Checker::AfterCommit(const coordinator::LedgerBatch& batch, const absl::Status& status, int64_t now_us,
                          int64_t reap_after_us) {
  if (absl::IsInternal(status)) return Violate("the store's keys had to refuse: " + MessageOf(status));
  if (status.ok() && !batch.entries.empty()) {
    if (batch.unix_ms < last_closed_ms_) Violate("a posting went back in time");
    last_closed_ms_ = batch.unix_ms;
  }
  for (const coordinator::RequestRow& row : batch.requests) {
    const auto durable = disk_->requests().find(row.id);
    if (durable != disk_->requests().end()) CheckRow(durable->second, now_us, reap_after_us);
  }
  std::map<std::string, int64_t> taken_back;  // of credits, by account
  for (const coordinator::EntryRow& entry : batch.entries) {
    if (!disk_->entries().contains(entry.id)) continue;
    if (entry.kind == coordinator::EntryKind::kUsage) {
      CheckEntry(disk_->entries().at(entry.id));
    } else {
      CheckPosting(disk_->entries().at(entry.id));
      taken_back[entry.account] += std::max<int64_t>(entry.amount_nano_usd, 0);
    }
  }
  CheckForgotten();
  CheckAccounts(taken_back);
}

void Checker::CheckPosting(const coordinator::EntryRow& entry) {
  if (entry.kind == coordinator::EntryKind::kCredit) {
    return Require(entry.amount_nano_usd < 0, entry.id, "a credit takes money");
  }
  const auto reversed = disk_->entries().find(*entry.reverses);
  Require(reversed != disk_->entries().end() && reversed->second.account == entry.account &&
              reversed->second.amount_nano_usd == -entry.amount_nano_usd,
          entry.id, "a reversal of what is not there, or of another amount");
}

// ---- the operator ----

void Checker::Posted(const coordinator::EntryRow& entry) {
  const auto stands = disk_->entries().find(entry.id);
  Require(stands != disk_->entries().end() && stands->second == entry, entry.id,
          "an entry was acknowledged that is not durable");
  if (entry.kind != coordinator::EntryKind::kCredit) return;
  const auto of_reference = std::count_if(
      disk_->entries().begin(), disk_->entries().end(),
      [&](const auto& item) { return item.second.kind == entry.kind && item.second.note == entry.note; });
  Require(of_reference == 1, entry.id, "two credits of one reference");
}

// R10: only what its own gateway has closed, and no client got anything of.
void Checker::CheckForgotten() {
  for (auto old = old_requests_.begin(); old != old_requests_.end();) {
    const auto& [id, row] = *old;
    if (disk_->requests().contains(id)) {
      ++old;
      continue;
    }
    forgotten_.insert(id);
    Require(row.state == coordinator::RequestState::kClosed, id, "forgotten, but it was open");
    Require(row.reason != v1::SETTLE_REAPED, id, "forgotten, but its gateway had not closed it");
    Require(seen_[id].delivered_total == 0, id, "forgotten, but the client had got something");
    Require(!disk_->entries().contains(id), id, "forgotten, but it was billed");
    old = old_requests_.erase(old);
  }
}

void Checker::CheckRow(const coordinator::RequestRow& row, int64_t now_us, int64_t reap_after_us) {
  const Seen& seen = seen_[row.id];
  for (const auto& [choice, tokens] : row.delivered) {
    const auto really = seen.delivered.find(choice);
    Require(tokens <= (really == seen.delivered.end() ? 0 : really->second), row.id,
            "the ledger has more delivered than the client got");
  }
  const bool open = row.state == coordinator::RequestState::kOpen;
  Require(open || row.held_nano_usd == 0, row.id, "closed, but it still holds money");
  Require(open || row.delivered.empty() || disk_->entries().contains(row.id), row.id,
          "closed without an entry");
  Require(!row.delivered.empty() || !disk_->entries().contains(row.id), row.id, "an entry for nothing");
  Require(!open || !disk_->entries().contains(row.id), row.id, "posted, but still open");
  if (open) {
    const TokenCounts counts{.prompt = row.prompt_tokens, .cached = 0, .completion = row.granted};
    Require(row.held_nano_usd >= Cost(row, counts), row.id, "the hold does not cover the grant");
    Require(row.granted >= seen.delivered_total, row.id, "the grant does not cover what was delivered");
  }
  const auto old = old_requests_.find(row.id);
  const uint64_t old_granted = old == old_requests_.end() ? 0 : old->second.granted;
  const auto key = old_keys_.find(row.key_id);
  const bool revoked = key != old_keys_.end() && key->second.revoked_ms != 0;
  Require(!revoked || row.granted <= old_granted, row.id, "a revoked key was granted more");
  Require(row.granted >= old_granted, row.id, "a grant shrank");
  if (row.reason == v1::SETTLE_REAPED) seen_[row.id].reaped = true;
  if (row.reason == v1::SETTLE_REAPED && seen.acked_us != INT64_MIN) {
    Require(now_us - seen.acked_us >= reap_after_us, row.id, "reaped although it was heard of");
  }
  old_requests_[row.id] = row;
}

void Checker::CheckEntry(const coordinator::EntryRow& entry) {
  const Seen& seen = seen_[entry.id];
  const coordinator::RequestRow& row = disk_->requests().at(entry.id);
  Require(row.state == coordinator::RequestState::kClosed, entry.id,
          "posted, but not closed in the same transaction");
  Require(entry.billed.completion <= seen.delivered_total, entry.id, "billed more than was delivered");
  Require(row.max_tokens > 0 || entry.billed.completion == 0, entry.id, "an echo is billed as tokens");
  const TokenCounts counts{
      .prompt = row.prompt_tokens, .cached = seen.cached_tokens, .completion = BilledPositions(entry.id)};
  Require(entry.amount_nano_usd == Cost(row, counts), entry.id,
          "posted at another price than the granted one");
}

bool Checker::IsEchoAlone(const RequestId& id) const {
  const auto row = disk_->requests().find(id);
  return row != disk_->requests().end() && row->second.max_tokens == 0;
}

uint64_t Checker::BilledPositions(const RequestId& id) const {
  const auto entry = disk_->entries().find(id);
  if (entry == disk_->entries().end()) return 0;
  if (!IsEchoAlone(id)) return entry->second.billed.completion;
  uint64_t positions = 0;
  for (const auto& [choice, tokens] : disk_->requests().at(id).delivered) positions += tokens;
  return positions;
}

// `completion` of the counts are positions.
int64_t Checker::Cost(const coordinator::RequestRow& row, const TokenCounts& counts) const {
  if (counts.completion == 0) return 0;
  TokenPrice price = disk_->prices().at(row.model).at(row.price_version);
  if (row.max_tokens == 0) price.completion = 0;
  return static_cast<int64_t>(counts.prompt - counts.cached) * price.prompt +
         static_cast<int64_t>(counts.cached) * price.cached_prompt +
         static_cast<int64_t>(counts.completion) * price.completion;
}

void Checker::CheckAccounts(const std::map<std::string, int64_t>& taken_back) {
  std::map<std::string, int64_t> posted, held;
  for (const auto& [id, entry] : disk_->entries()) posted[entry.account] += entry.amount_nano_usd;
  for (const auto& [id, row] : disk_->requests()) held[row.account] += row.held_nano_usd;
  for (const auto& [id, account] : disk_->accounts()) {
    if (account.balance_nano_usd != posted[id])
      Violate("account " + id + ": the balance is not the sum of its entries");
    if (account.held_nano_usd != held[id])
      Violate("account " + id + ": held is not the sum of its open holds");
    const auto old = old_accounts_.find(id);
    if (!account.cap_nano_usd || old == old_accounts_.end() || !old->second.cap_nano_usd) continue;
    // A cap lowered below what is spent and held stops new holds, and takes none back: not even one of its
    // transaction.
    const int64_t cap = std::max(*account.cap_nano_usd, *old->second.cap_nano_usd);
    const auto back = taken_back.find(id);  // that is no hold
    const int64_t now =
        account.balance_nano_usd + account.held_nano_usd - (back == taken_back.end() ? 0 : back->second);
    const int64_t before = old->second.balance_nano_usd + old->second.held_nano_usd;
    if (now > cap && now > before) {
      Violate(absl::StrCat("account ", id, ": posted + held ", now, " passes the cap ", cap));
    }
  }
}

// ---- the end ----

bool Checker::AllClosed() const {
  return std::all_of(disk_->requests().begin(), disk_->requests().end(), [](const auto& item) {
    return item.second.state == coordinator::RequestState::kClosed;
  });
}

void Checker::AtTheEnd() {
  if (!AllClosed()) Violate("a request stays open for ever");
  for (const auto& [id, account] : disk_->accounts()) {
    if (account.held_nano_usd != 0) Violate("account " + id + " holds money for nothing");
  }
  for (const auto& [id, seen] : seen_) CheckPosted(id, seen);
}

// At most what was delivered since the last acknowledged Progress, and at most the grant.
void Checker::CheckLoss(const RequestId& id, const Seen& seen, uint64_t billed) {
  Require(
      billed >= seen.acked_delivered, id,
      absl::StrCat("billed ", billed, " though ", seen.acked_delivered, " were acknowledged as delivered"));
  const auto row = disk_->requests().find(id);
  const uint64_t granted = row == disk_->requests().end() ? 0 : row->second.granted;
  Require(seen.delivered_total - billed <= granted, id, "more was lost than was granted");
}

void Checker::CheckPosted(const RequestId& id, const Seen& seen) {
  const auto entry = disk_->entries().find(id);
  const uint64_t billed = BilledPositions(id);
  const int64_t posted = entry == disk_->entries().end() ? 0 : entry->second.amount_nano_usd;
  if (seen.usage) Require(posted <= seen.usage->cost_nano_usd, id, "posted more than the usage said");
  // P3's exceptions, checked above not to bill too much. Reaped may also be what nobody knows of: a grant for
  // a copy of an Admit whose other copy was refused.
  if (seen.gateway_died || seen.reaped) return CheckLoss(id, seen, billed);
  Require(seen.settled || entry == disk_->entries().end(), id,
          "its gateway lives, but never got the settlement acknowledged");
  Require(billed == seen.delivered_total, id,
          absl::StrCat("delivered ", seen.delivered_total, ", billed ", billed));
  if (seen.usage) {
    Require(posted == seen.usage->cost_nano_usd, id,
            absl::StrCat("usage said ", seen.usage->cost_nano_usd, ", posted was ", posted));
  }
}

}  // namespace quire::simulation
