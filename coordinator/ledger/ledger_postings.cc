// Entries that no request makes: an operator's credits and reversals.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/entry_id.h"
#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {
namespace {

// No sum of a balance, a cap and holds comes near what 64 bits have.
constexpr int64_t kMaxBalanceNanoUsd = 4 * Ledger::kMaxCreditNanoUsd;

}  // namespace

void Ledger::Credit(const NewCredit& credit, Reply<EntryRow> reply) {
  if (!loaded_) return reply(NotLoaded());
  ReplyAfterCommit(ApplyCredit(credit), std::move(reply));
}

absl::StatusOr<EntryRow> Ledger::ApplyCredit(const NewCredit& credit) {
  if (credit.reference.empty() || credit.amount_nano_usd < 1 || credit.amount_nano_usd > kMaxCreditNanoUsd) {
    return absl::InvalidArgumentError(
        absl::StrCat("a credit needs a reference and 1..", kMaxCreditNanoUsd, " nano-dollars"));
  }
  if (!accounts_.contains(credit.account)) {
    return absl::NotFoundError(
        "there is no account of this name: make it first, by a key or a cap of its own");
  }
  EntryRow entry{.id = CreditId(credit.account, credit.reference),
                 .account = credit.account,
                 .key_id = "",
                 .model = "",
                 .amount_nano_usd = -credit.amount_nano_usd,
                 .kind = EntryKind::kCredit,
                 .note = credit.note};
  QUIRE_ASSIGN_OR_RETURN(const std::optional<EntryRow> standing, FindEntry(entry.id));
  if (!standing) return PostEntry(std::move(entry));
  if (standing->amount_nano_usd == entry.amount_nano_usd) return *standing;
  return absl::AlreadyExistsError("a credit of another amount has this reference: give one that is new");
}

void Ledger::Reverse(const RequestId& entry, const std::string& note, Reply<EntryRow> reply) {
  if (!loaded_) return reply(NotLoaded());
  ReplyAfterCommit(ApplyReverse(entry, note), std::move(reply));
}

absl::StatusOr<EntryRow> Ledger::ApplyReverse(const RequestId& id, const std::string& note) {
  QUIRE_ASSIGN_OR_RETURN(const std::optional<EntryRow> reversed, FindEntry(id));
  if (!reversed) return absl::NotFoundError("there is no entry of this id: what billed nothing has none");
  if (reversed->kind == EntryKind::kReversal) {
    return absl::FailedPreconditionError("this entry takes another one back: post a credit in its place");
  }
  EntryRow entry{.id = ReversalId(id),
                 .account = reversed->account,
                 .key_id = reversed->key_id,
                 .model = reversed->model,
                 .price_version = reversed->price_version,
                 .amount_nano_usd = -reversed->amount_nano_usd,
                 .kind = EntryKind::kReversal,
                 .reverses = id,
                 .note = note};
  QUIRE_ASSIGN_OR_RETURN(const std::optional<EntryRow> standing, FindEntry(entry.id));
  return standing ? *standing : PostEntry(std::move(entry));
}

// Those of the coming commit too.
absl::StatusOr<std::optional<EntryRow>> Ledger::FindEntry(const RequestId& id) {
  const auto coming = std::find_if(new_entries_.begin(), new_entries_.end(),
                                   [&](const EntryRow& entry) { return entry.id == id; });
  if (coming != new_entries_.end()) return *coming;
  absl::StatusOr<std::optional<EntryRow>> stored = store_->FindEntry(id);
  if (IsFatal(stored.status())) fatal_ = stored.status();
  return stored;
}

absl::StatusOr<EntryRow> Ledger::PostEntry(EntryRow entry) {
  const auto account = accounts_.find(entry.account);
  if (account == accounts_.end()) return absl::InternalError("the entry's account is gone");
  int64_t& balance_nano_usd = account->second.balance_nano_usd;
  if (balance_nano_usd + entry.amount_nano_usd < -kMaxBalanceNanoUsd) {
    return absl::FailedPreconditionError("the account has too much credit already");
  }
  balance_nano_usd += entry.amount_nano_usd;
  changed_accounts_.insert(entry.account);
  new_entries_.push_back(entry);
  return entry;
}

}  // namespace quire::coordinator
