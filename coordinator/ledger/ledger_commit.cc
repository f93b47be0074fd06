// The group commit: what changed in memory becomes one transaction; its replies go out when it stands.
#include <algorithm>
#include <set>
#include <utility>

#include "base/core/status.h"
#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {
namespace {

// So many commits after the store refused one as a bug.
constexpr int kCarefulCommits = 1000;

}  // namespace

absl::Status Ledger::Commit(int64_t unix_ms) {
  last_ms_ = std::max(last_ms_, unix_ms);
  if (!loaded_) return Reload();
  LedgerBatch batch = TakeBatch();
  std::vector<Release> releases = std::exchange(releases_, {});
  if (releases.empty() && batch.IsEmpty() && fatal_.ok()) return absl::OkStatus();

  absl::Status status = fatal_.ok() ? store_->Commit(batch) : fatal_;
  if (status.ok()) {
    AfterSuccess(batch);
    if (options_.on_news) options_.on_news(batch);
  } else {
    status = Fail(status);
  }
  for (Release& release : releases) release(status);
  return status;
}

// Whether the store holds the batch is not known: forget all rows, and read what it holds. What is certain is
// kept: who was heard of, and how long this leader has run.
absl::Status Ledger::Fail(const absl::Status& status) {
  ++counters_.failed_commits;
  ++failures_in_a_row_;
  last_failure_ = status;
  loaded_ = false;
  if (IsFatal(status)) {
    term_ = 0;  // for good
  } else if (absl::IsInternal(status) || failures_in_a_row_ == 1) {
    const absl::Status loaded = Reload();  // if it fails, the next Commit tries again
    if (IsFatal(loaded)) return loaded;
  }
  if (absl::IsInternal(status)) careful_commits_ = kCarefulCommits;
  return status;
}

void Ledger::SetAside(const RequestId& id) {
  if (set_aside_.insert(id).second) ++counters_.set_aside;
}

LedgerBatch Ledger::TakeBatch() {
  LedgerBatch batch;
  batch.term = term_;
  batch.unix_ms = last_ms_;
  for (const std::string& id : std::exchange(changed_accounts_, {}))
    batch.accounts.push_back(accounts_.at(id));
  for (const std::string& id : std::exchange(changed_keys_, {})) batch.keys.push_back(keys_.at(id));
  for (const RequestId& id : std::exchange(changed_requests_, {}))
    batch.requests.push_back(requests_.at(id).row);
  batch.prices = std::exchange(new_prices_, {});
  batch.entries = std::exchange(new_entries_, {});
  if (std::exchange(forget_, false)) {
    batch.forget_before_ms = last_ms_ - options_.forget_after_us / 1000;
    batch.forget_most = options_.forget_most;
  }
  return batch;
}

void Ledger::AfterSuccess(const LedgerBatch& batch) {
  for (const RequestId& id : std::exchange(closed_, {})) {
    requests_.erase(id);
    heard_us_.erase(id);
  }
  failures_in_a_row_ = 0;
  if (careful_commits_ > 0) --careful_commits_;
  const LedgerCounters news = std::exchange(new_counts_, {});
  ++counters_.commits;
  counters_.reaped += news.reaped;
  counters_.unbilled_positions += news.unbilled_positions;
  counters_.above_grant_alarms += news.above_grant_alarms;
  for (const EntryRow& entry : batch.entries) Count(entry);
}

void Ledger::Count(const EntryRow& entry) {
  switch (entry.kind) {
    case EntryKind::kUsage:
      counters_.posted_nano_usd += static_cast<uint64_t>(entry.amount_nano_usd);
      counters_.posted_positions += entry.billed.completion;
      break;
    case EntryKind::kReversal:
      ++counters_.reversals;
      break;
    case EntryKind::kCredit:
      ++counters_.credits;
      break;
  }
}

void Ledger::ClearMemory() {
  accounts_.clear();
  keys_.clear();
  prices_.clear();
  requests_.clear();
  closed_.clear();
  changed_accounts_.clear();
  changed_keys_.clear();
  changed_requests_.clear();
  new_prices_.clear();
  new_entries_.clear();
  new_counts_ = {};
}

// What every open row of this program's has: whom to bill, at which price, and sizes that no sum overflows.
bool Ledger::MakesSense(const RequestRow& row) const {
  const auto prices = prices_.find(row.model);
  const bool sizes =
      row.choices >= 1 && row.choices <= kMaxTokensPerRequest &&
      row.max_tokens <= kMaxTokensPerRequest / row.choices && row.prompt_tokens <= kMaxTokensPerRequest &&
      row.granted <= row.choices * PositionsEach(row.max_tokens) &&
      row.cached_tokens.value_or(0) <= row.prompt_tokens && row.delivered.size() <= row.choices;
  return sizes && accounts_.contains(row.account) && prices != prices_.end() &&
         prices->second.contains(row.price_version) &&
         std::all_of(row.delivered.begin(), row.delivered.end(), [&](const auto& delivered) {
           return delivered.second <= PositionsEach(row.max_tokens);
         });
}

absl::Status Ledger::Reload() {
  if (term_ == 0) return absl::FailedPreconditionError("this ledger leads no longer, or never did");
  absl::StatusOr<LedgerState> state = store_->Load();
  if (!state.ok()) {
    ++failures_in_a_row_;
    last_failure_ = state.status();
    if (IsFatal(state.status())) term_ = 0;
    return state.status();
  }
  std::map<RequestId, Live> before = std::exchange(requests_, {});
  ClearMemory();
  last_ms_ = std::max(last_ms_, state->last_closed_ms);
  for (AccountRow& row : state->accounts) accounts_.emplace(row.id, std::move(row));
  for (KeyRow& row : state->keys) keys_.emplace(row.id, std::move(row));
  for (PriceRow& row : state->prices) prices_[row.model].emplace(row.price.version, row.price);
  for (RequestRow& row : state->open_requests) {
    const RequestId id = row.id;
    if (!MakesSense(row)) {
      SetAside(id);
      continue;
    }
    requests_.emplace(id, Live{std::move(row), 0});
    if (!heard_us_.contains(id)) Heard(id);  // the reaper counts this leader's own time only
  }
  std::erase_if(heard_us_, [&](const auto& heard) { return !requests_.contains(heard.first); });
  LedgerBatch vanished;  // open before, and not now
  for (auto& [id, live] : before) {
    if (requests_.contains(id)) continue;
    live.row.state = RequestState::kClosed;
    vanished.requests.push_back(std::move(live.row));
  }
  loaded_ = true;
  TellAll(std::move(vanished));
  return absl::OkStatus();
}

void Ledger::TellAll(LedgerBatch vanished) {
  if (!options_.on_news) return;
  LedgerBatch& all = vanished;
  for (const auto& [id, row] : accounts_) all.accounts.push_back(row);
  for (const auto& [id, row] : keys_) all.keys.push_back(row);
  for (const auto& [model, versions] : prices_) all.prices.push_back({model, versions.rbegin()->second});
  for (const auto& [id, live] : requests_) all.requests.push_back(live.row);
  options_.on_news(all);
}

}  // namespace quire::coordinator
