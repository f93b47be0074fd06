#include "coordinator/ledger/ledger.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

constexpr uint64_t kUnlimited = UINT64_MAX;

v1::AdmitReply Refuse(v1::RefusalReason reason, std::string message, uint32_t retry_after_s = 0) {
  v1::AdmitReply reply;
  reply.mutable_refusal()->set_reason(reason);
  reply.mutable_refusal()->set_message(std::move(message));
  reply.mutable_refusal()->set_retry_after_s(retry_after_s);
  return reply;
}

v1::AdmitReply RefuseForTheLedger() {
  return Refuse(v1::REFUSAL_LEDGER, "the ledger can't record the request now; try again", 1);
}

uint64_t TotalDelivered(const RequestRow& row) {
  uint64_t total = 0;
  for (const auto& [choice, tokens] : row.delivered) total += tokens;
  return total;
}

uint64_t MaxPositions(const RequestRow& row) { return row.choices * PositionsEach(row.max_tokens); }

// How many positions the account can still pay for, after `prompt_nano_usd` more for a prompt.
uint64_t Affordable(const AccountRow& account, const TokenPrice& price, int64_t prompt_nano_usd) {
  if (!account.cap_nano_usd) return kUnlimited;
  const int64_t room =
      *account.cap_nano_usd - account.balance_nano_usd - account.held_nano_usd - prompt_nano_usd;
  if (room < 0) return 0;
  return price.completion == 0 ? kUnlimited : static_cast<uint64_t>(room / price.completion);
}

absl::StatusOr<RequestId> ParseId(const std::string& raw) { return RequestId::FromBytes(raw); }

absl::Status CheckSizes(const v1::AdmitRequest& request, uint64_t first_grant) {
  if (request.choices() < 1 || request.choices() > first_grant) {
    return absl::InvalidArgumentError(
        absl::StrCat("choices is ", request.choices(), ", it must be 1..", first_grant));
  }
  if (request.prompt_tokens() > kMaxTokensPerRequest ||
      request.max_tokens() > kMaxTokensPerRequest / request.choices()) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt_tokens and choices x max_tokens must be at most ", kMaxTokensPerRequest));
  }
  return absl::OkStatus();
}

}  // namespace

Ledger::Ledger(LedgerStore* store, LedgerOptions options) : store_(store), options_(options) {}

absl::Status Ledger::TakeOver() {
  QUIRE_ASSIGN_OR_RETURN(term_, store_->TakeOver());
  return Reload();
}

// ---- admit ----

void Ledger::Admit(const v1::AdmitRequest& request, Reply<v1::AdmitReply> reply) {
  if (!loaded_) {
    const absl::StatusOr<RequestId> id = ParseId(request.request_id());
    if (id.ok() && heard_us_.contains(*id)) Heard(*id);
    return reply(RefuseForTheLedger());
  }
  // To a gateway, a ledger that can't answer is a refusal; a malformed request stays an error.
  Reply<v1::AdmitReply> refusing = [reply = std::move(reply)](absl::StatusOr<v1::AdmitReply> answer) mutable {
    if (!answer.ok() && !absl::IsInvalidArgument(answer.status())) answer = RefuseForTheLedger();
    reply(std::move(answer));
  };
  ReplyAfterCommit(DecideAdmit(request), std::move(refusing));
}

absl::StatusOr<v1::AdmitReply> Ledger::DecideAdmit(const v1::AdmitRequest& request) {
  QUIRE_ASSIGN_OR_RETURN(const RequestId id, ParseId(request.request_id()));
  QUIRE_RETURN_IF_ERROR(CheckSizes(request, options_.first_grant));
  QUIRE_ASSIGN_OR_RETURN(Live * known, Find(id));
  if (known == nullptr) return Open(request, id);
  if (known->row.state == RequestState::kClosed) {
    return Refuse(v1::REFUSAL_CLOSED, "this request id was settled already; send a new request");
  }
  Heard(id);
  return GrantOf(known->row);
}

v1::AdmitReply Ledger::Open(const v1::AdmitRequest& request, const RequestId& id) {
  if (!IsLive(request.key_id())) return Refuse(v1::REFUSAL_KEY, "the key is unknown or revoked");
  const KeyRow& key = keys_.at(request.key_id());
  if (!accounts_.contains(key.account)) return Refuse(v1::REFUSAL_KEY, "the key has no account");
  const bool in_scope = key.models.empty() ||
                        std::find(key.models.begin(), key.models.end(), request.model()) != key.models.end();
  if (!in_scope) return Refuse(v1::REFUSAL_SCOPE, "the key may not use this model");
  const auto prices = prices_.find(request.model());
  if (prices == prices_.end()) return Refuse(v1::REFUSAL_MODEL, "the model is unknown");

  RequestRow row;
  row.id = id;
  row.account = key.account;
  row.key_id = key.id;
  row.model = request.model();
  row.price_version = prices->second.rbegin()->first;
  row.choices = request.choices();
  row.max_tokens = request.max_tokens();
  row.prompt_tokens = request.prompt_tokens();

  const TokenPrice price = PriceOf(row);
  const int64_t prompt_nano_usd = HoldNanoUsd(price, row.prompt_tokens, 0);
  const uint64_t positions = std::min({options_.first_grant, MaxPositions(row),
                                       Affordable(accounts_.at(row.account), price, prompt_nano_usd)});
  if (positions < row.choices) {
    return Refuse(v1::REFUSAL_BUDGET, "the account's cap is reached; raise it or wait for running requests");
  }
  Live& live = Track(std::move(row));
  Hold(live.row, positions);
  return GrantOf(live.row);
}

v1::AdmitReply Ledger::GrantOf(const RequestRow& row) const {
  v1::AdmitReply reply;
  const TokenPrice price = PriceOf(row);
  reply.mutable_grant()->set_positions(row.granted);
  v1::Price* out = reply.mutable_grant()->mutable_price();
  out->set_version(price.version);
  out->set_prompt_nano_usd(price.prompt);
  out->set_cached_prompt_nano_usd(price.cached_prompt);
  out->set_completion_nano_usd(price.completion);
  return reply;
}

// ---- many requests in one message ----

// One request's trouble is its own: it is left out of the answer, and the others go on. A message of which
// nothing could be done is an error.
template <typename Answer, typename Message, typename Apply>
absl::StatusOr<Answer> ApplyEach(const Message& message, Apply apply) {
  Answer answer;
  absl::Status trouble;
  for (const auto& one : message.requests()) {
    auto result = apply(one);
    if (result.ok()) {
      *answer.add_results() = *std::move(result);
    } else {
      trouble = result.status();
    }
  }
  if (answer.results().empty() && !trouble.ok()) return trouble;
  return answer;
}

template <typename Message, typename Answer>
absl::StatusOr<Answer> Ledger::OneByOne(const Message& message,
                                        absl::StatusOr<Answer> (Ledger::*apply)(const Message&)) {
  using Result = std::decay_t<decltype(std::declval<Answer>().results(0))>;
  return ApplyEach<Answer>(message, [&](const auto& one) -> absl::StatusOr<Result> {
    if (!loaded_) return absl::UnavailableError("the ledger is not loaded; send it again");
    Message single;
    *single.add_requests() = one;
    QUIRE_ASSIGN_OR_RETURN(const Answer answer, (this->*apply)(single));
    absl::Status committed;  // by a release, so that the term is checked though nothing be written (R1)
    releases_.push_back([&committed](const absl::Status& status) { committed = status; });
    Commit(last_ms_).IgnoreError();
    if (absl::IsInternal(committed)) SetAside(*ParseId(one.request_id()));
    if (!committed.ok()) return committed;
    return answer.results(0);
  });
}

// Though nothing can be done for them now.
template <typename Message>
void Ledger::HeardOfAll(const Message& message) {
  for (const auto& one : message.requests()) {
    const absl::StatusOr<RequestId> id = ParseId(one.request_id());
    if (id.ok() && heard_us_.contains(*id)) Heard(*id);
  }
}

// ---- progress ----

void Ledger::Progress(const v1::ProgressRequest& request, Reply<v1::ProgressReply> reply) {
  if (!loaded_) {
    HeardOfAll(request);
    return reply(absl::UnavailableError("the ledger is not loaded; send it again"));
  }
  if (careful()) return reply(OneByOne(request, &Ledger::ApplyProgress));
  ReplyAfterCommit(ApplyProgress(request), std::move(reply));
}

absl::StatusOr<v1::ProgressReply> Ledger::ApplyProgress(const v1::ProgressRequest& request) {
  return ApplyEach<v1::ProgressReply>(
      request, [this](const v1::RequestProgress& progress) { return ApplyOne(progress); });
}

absl::StatusOr<v1::ProgressResult> Ledger::ApplyOne(const v1::RequestProgress& progress) {
  QUIRE_ASSIGN_OR_RETURN(const RequestId id, ParseId(progress.request_id()));
  QUIRE_ASSIGN_OR_RETURN(Live * live, Find(id));
  if (live != nullptr && live->row.state == RequestState::kOpen) return Advance(*live, progress);
  v1::ProgressResult closed;
  closed.set_request_id(progress.request_id());
  closed.set_stop(v1::STOP_CLOSED);
  return closed;
}

v1::ProgressResult Ledger::Advance(Live& live, const v1::RequestProgress& progress) {
  RequestRow& row = live.row;
  Heard(row.id);
  MergeDelivered(row, progress.delivered(), progress.cached_tokens());
  v1::ProgressResult result;
  result.set_request_id(progress.request_id());
  result.set_stop(Extend(row, progress.want_positions()));
  result.set_granted_positions(row.granted);
  return result;
}

v1::StopCause Ledger::Extend(RequestRow& row, uint64_t want) {
  if (!IsLive(row.key_id)) return v1::STOP_REVOKED;
  want = std::min(want, MaxPositions(row));
  if (want <= row.granted) return v1::STOP_NONE;
  const uint64_t more = std::min(want - row.granted, Affordable(accounts_.at(row.account), PriceOf(row), 0));
  if (more == 0) return v1::STOP_BUDGET;
  Hold(row, row.granted + more);
  return v1::STOP_NONE;
}

void Ledger::MergeDelivered(RequestRow& row, const DeliveredList& delivered, uint64_t cached_tokens) {
  for (const v1::ChoiceTokens& said : delivered) {
    if (said.choice() >= row.choices || said.tokens() == 0) continue;  // no such choice was asked for
    uint64_t& tokens = row.delivered[said.choice()];
    tokens = std::max(tokens, std::min(said.tokens(), PositionsEach(row.max_tokens)));
  }
  const uint64_t total = TotalDelivered(row);
  if (total > row.granted) ++new_counts_.above_grant_alarms;
  if (total > 0 && !row.cached_tokens) row.cached_tokens = std::min(cached_tokens, row.prompt_tokens);
  changed_requests_.insert(row.id);
}

// ---- settle and reap ----

void Ledger::Settle(const v1::SettleRequest& request, Reply<v1::SettleReply> reply) {
  if (!loaded_) {
    HeardOfAll(request);
    return reply(absl::UnavailableError("the ledger is not loaded; send it again"));
  }
  if (careful()) return reply(OneByOne(request, &Ledger::ApplySettle));
  ReplyAfterCommit(ApplySettle(request), std::move(reply));
}

absl::StatusOr<v1::SettleReply> Ledger::ApplySettle(const v1::SettleRequest& request) {
  return ApplyEach<v1::SettleReply>(request,
                                    [this](const v1::RequestSettle& settle) { return ApplyOne(settle); });
}

absl::StatusOr<v1::SettleResult> Ledger::ApplyOne(const v1::RequestSettle& settle) {
  QUIRE_ASSIGN_OR_RETURN(const RequestId id, ParseId(settle.request_id()));
  QUIRE_ASSIGN_OR_RETURN(Live * live, Find(id));
  if (live == nullptr) {  // R7: a later Admit of this id shall find it closed
    RequestRow row;
    row.id = id;
    row.state = RequestState::kClosed;
    row.reason = settle.reason();
    row.forgettable = true;
    live = &Track(std::move(row));
    closed_.push_back(id);
  } else if (live->row.state == RequestState::kOpen) {
    Heard(id);  // if the commit fails, it was heard of all the same
    MergeDelivered(live->row, settle.delivered(), settle.cached_tokens());
    Close(*live, settle.reason());
  } else {
    uint64_t said = 0;
    for (const v1::ChoiceTokens& choice : settle.delivered()) said += choice.tokens();
    const uint64_t known = TotalDelivered(live->row);
    if (said > known) new_counts_.unbilled_positions += said - known;
  }
  v1::SettleResult result;
  result.set_request_id(settle.request_id());
  result.set_amount_nano_usd(live->posted_nano_usd);
  return result;
}

void Ledger::Close(Live& live, v1::SettleReason reason) {
  RequestRow& row = live.row;
  const uint64_t billable = std::min(TotalDelivered(row), row.granted);  // above the grant nothing is held
  if (billable > 0) Post(live, billable);
  // Whoever settles has said its last word; who fell silent may still say more (R10).
  row.forgettable = billable == 0 && reason != v1::SETTLE_REAPED;

  accounts_.at(row.account).held_nano_usd -= row.held_nano_usd;
  row.held_nano_usd = 0;
  row.state = RequestState::kClosed;
  row.reason = reason;
  changed_accounts_.insert(row.account);
  changed_requests_.insert(row.id);
  closed_.push_back(row.id);
}

void Ledger::Post(Live& live, uint64_t positions) {
  const RequestRow& row = live.row;
  EntryRow entry{.id = row.id,
                 .account = row.account,
                 .key_id = row.key_id,
                 .model = row.model,
                 .price_version = row.price_version,
                 .billed = {.prompt = row.prompt_tokens,
                            .cached = row.cached_tokens.value_or(0),
                            .completion = positions},
                 .amount_nano_usd = 0};
  entry.amount_nano_usd = CostNanoUsd(PriceOf(row), entry.billed);
  if (row.max_tokens == 0) entry.billed.completion = 0;
  accounts_.at(row.account).balance_nano_usd += entry.amount_nano_usd;
  live.posted_nano_usd = entry.amount_nano_usd;
  new_entries_.push_back(std::move(entry));
}

// ---- rows in memory ----

absl::StatusOr<Ledger::Live*> Ledger::Find(const RequestId& id) {
  if (set_aside_.contains(id)) {
    return absl::InternalError("this request can't be changed: its rows are damaged (see the audit)");
  }
  if (const auto it = requests_.find(id); it != requests_.end()) return &it->second;
  absl::StatusOr<std::optional<StoredRequest>> stored = store_->Find(id);
  if (IsFatal(stored.status())) fatal_ = stored.status();
  if (!stored.ok()) return stored.status();
  if (!*stored) return nullptr;
  // Every open request lives in memory, unless a newer leader opened it; then the coming commit will be
  // refused.
  if ((*stored)->row.state == RequestState::kOpen) {
    return absl::UnavailableError("another coordinator has taken over this ledger");
  }
  closed_.push_back(id);
  return &requests_.emplace(id, Live{std::move((*stored)->row), (*stored)->posted_nano_usd}).first->second;
}

Ledger::Live& Ledger::Track(RequestRow row) {
  const RequestId id = row.id;
  changed_requests_.insert(id);
  Heard(id);
  return requests_.insert_or_assign(id, Live{std::move(row), 0}).first->second;
}

TokenPrice Ledger::PriceOf(const RequestRow& row) const {
  TokenPrice price = prices_.at(row.model).at(row.price_version);
  if (row.max_tokens == 0) price.completion = 0;  // its positions are no tokens of a completion
  return price;
}

// Raises the grant to `positions` and the hold to what they can cost.
void Ledger::Hold(RequestRow& row, uint64_t positions) {
  const int64_t held = HoldNanoUsd(PriceOf(row), row.prompt_tokens, positions);
  accounts_.at(row.account).held_nano_usd += held - row.held_nano_usd;
  row.held_nano_usd = held;
  row.granted = positions;
  changed_accounts_.insert(row.account);
  changed_requests_.insert(row.id);
}

bool Ledger::IsLive(const std::string& key_id) const {
  const auto key = keys_.find(key_id);
  return key != keys_.end() && key->second.kind == KeyKind::kApi && key->second.revoked_ms == 0;
}

}  // namespace quire::coordinator
