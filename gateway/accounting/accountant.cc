#include "gateway/accounting/accountant.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {
namespace {

constexpr int64_t kNever = INT64_MAX;

TokenPrice PriceOf(const v1::Price& price) {
  return {.version = price.version(),
          .prompt = price.prompt_nano_usd(),
          .cached_prompt = price.cached_prompt_nano_usd(),
          .completion = price.completion_nano_usd()};
}

template <typename Message>
void AddDelivered(const std::map<uint32_t, uint64_t>& delivered, Message* message) {
  for (const auto& [choice, tokens] : delivered) {
    v1::ChoiceTokens* out = message->add_delivered();
    out->set_choice(choice);
    out->set_tokens(tokens);
  }
}

}  // namespace

Accountant::Accountant(AccountantOptions options, std::function<void()> on_work)
    : options_(std::move(options)), on_work_(std::move(on_work)), settles_(options_.settles) {}

// ---- admission ----

AdmitCall Accountant::BeginAdmit(const AccountedRequest& request, int64_t now_us) {
  MutexLock lock(&mutex_);
  Open& open = open_[request.id];
  open.request = request;
  ++open.admits_sent;
  return {.id = request.id, .sent_us = now_us};
}

bool Accountant::OnAdmitReply(const AdmitCall& call, const v1::AdmitReply& reply, int64_t now_us) {
  bool granted = false;
  {
    MutexLock lock(&mutex_);
    if (reply.has_grant()) granted = Grant(call, reply.grant(), now_us);
    if (reply.has_refusal()) Refused(call, reply.refusal(), now_us);
  }
  WakeDriver();
  return granted;
}

bool Accountant::Grant(const AdmitCall& call, const v1::Grant& grant, int64_t now_us) {
  const auto found = open_.find(call.id);
  if (found == open_.end()) {  // R7: it was ended meanwhile, and the ledger holds money for it
    Abandon(call.id, now_us);
    return false;
  }
  Open& open = found->second;
  if (open.granted == 0) open.price = PriceOf(grant.price());
  open.granted = std::max(open.granted, grant.positions());
  open.acked_us = std::max(open.acked_us, call.sent_us);
  open.stop_us = now_us + options_.stop_after_us;
  // An Admit may have waited long in the queue: then a Progress has to say first that the request is still
  // open.
  const bool stale = now_us - open.acked_us > options_.stop_after_us / 2;
  DueBy(progress_due_us_, stale ? now_us : now_us + options_.progress_every_us);
  return true;
}

void Accountant::Refused(const AdmitCall& call, const v1::Refusal& refusal, int64_t now_us) {
  const auto found = open_.find(call.id);
  if (found == open_.end() || found->second.granted > 0) return;
  // Another copy of the Admit may yet be granted, or was and the commit's outcome is unknown: close it.
  const bool unsure = found->second.admits_sent > 1 || refusal.reason() == v1::REFUSAL_LEDGER;
  open_.erase(found);
  if (unsure) Abandon(call.id, now_us);
}

// Nothing of it was delivered, and nothing will be.
void Accountant::Abandon(const RequestId& id, int64_t now_us) {
  v1::RequestSettle settle;
  settle.set_request_id(id.ToBytes());
  settle.set_reason(v1::SETTLE_ABANDONED);
  settles_.Add(id, std::move(settle), 0, now_us);
  SettlesChanged();
}

// ---- tokens ----

uint32_t Accountant::NewAttempt(const RequestId& id, const v1::Placement& placement) {
  MutexLock lock(&mutex_);
  const auto found = open_.find(id);
  if (found == open_.end()) return 0;
  Open& open = found->second;
  if (!open.made.empty() && open.made.back().positions == 0) open.made.pop_back();
  open.made.push_back({placement.group_id(), placement.group_epoch()});
  return ++open.attempt;
}

bool Accountant::Accept(const RequestId& id, uint32_t attempt, uint64_t positions, uint64_t cached_tokens,
                        int64_t now_us) {
  {
    MutexLock lock(&mutex_);
    const auto found = open_.find(id);
    if (found == open_.end()) return false;
    Open& open = found->second;
    if (attempt == 0 || open.attempt != attempt || open.end != EndCause::kNone) return false;
    if (open.accepted == 0) open.cached_tokens = std::min(cached_tokens, open.request.prompt_tokens);
    open.accepted += positions;
    open.made.back().positions += positions;
    const bool ask = Want(open) > open.granted && open.asked <= open.granted;
    if (ask) DueBy(progress_due_us_, std::max(now_us, last_progress_us_ + options_.progress_min_us));
  }
  WakeDriver();
  return true;
}

// The total to ask for, 0 when the grant is still more than half unused or is all that the request can take.
uint64_t Accountant::Want(const Open& open) const {
  if (open.granted == 0 || open.granted >= MaxPositions(open)) return 0;
  const uint64_t left = open.granted - std::min(open.granted, open.accepted);
  if (2 * left > std::min(open.granted, options_.grant_ahead)) return 0;
  return std::min(MaxPositions(open), open.accepted + options_.grant_ahead);
}

Allowance Accountant::MayDeliver(const RequestId& id, int64_t now_us) {
  MutexLock lock(&mutex_);
  const auto found = open_.find(id);
  if (found == open_.end()) return {.positions = 0, .end = EndCause::kClosed};
  Open& open = found->second;
  if (open.end == EndCause::kNone && open.granted > 0 && now_us > open.stop_us) {
    open.end = EndCause::kStopped;
    ++counters_.stopped;
  }
  if (open.end != EndCause::kNone) return {.positions = 0, .end = open.end};
  const bool stale = now_us > open.acked_us + options_.stop_after_us;
  const uint64_t left = stale ? 0 : open.granted - std::min(open.granted, open.delivered_total);
  const EndCause end = open.budget_refused && !stale ? EndCause::kBudget : EndCause::kNone;
  open.waiting = left == 0 && end == EndCause::kNone;
  return {.positions = left, .end = end};
}

void Accountant::Delivered(const RequestId& id, uint32_t choice, uint64_t positions) {
  MutexLock lock(&mutex_);
  const auto found = open_.find(id);
  if (found == open_.end() || positions == 0) return;
  Open& open = found->second;
  const int64_t cost_before = UsageOf(open, 0).cost_nano_usd;
  open.delivered[choice] += positions;
  open.delivered_total += positions;
  counters_.delivered_positions += positions;
  counters_.delivered_cost_nano_usd += static_cast<uint64_t>(UsageOf(open, 0).cost_nano_usd - cost_before);
}

Usage Accountant::UsageAfter(const RequestId& id, uint64_t positions) const {
  MutexLock lock(&mutex_);
  const auto found = open_.find(id);
  return found == open_.end() ? Usage{} : UsageOf(found->second, positions);
}

Usage Accountant::UsageOf(const Open& open, uint64_t positions) const {
  Usage usage{.counts = {.prompt = open.request.prompt_tokens,
                         .cached = open.cached_tokens,
                         .completion = open.delivered_total + positions}};
  usage.cost_nano_usd = CostNanoUsd(open.price, usage.counts);
  if (open.request.max_tokens == 0) usage.counts.completion = 0;  // the grant's price is 0 then, too
  return usage;
}

// ---- the end ----

void Accountant::Finish(const RequestId& id, v1::SettleReason reason, int64_t now_us) {
  {
    MutexLock lock(&mutex_);
    const auto found = open_.find(id);
    if (found == open_.end()) return;
    const Open& open = found->second;
    v1::RequestSettle settle;
    settle.set_request_id(id.ToBytes());
    AddDelivered(open.delivered, &settle);
    AddMadeBy(open, &settle);
    settle.set_cached_tokens(open.cached_tokens);
    settle.set_reason(reason);
    settles_.Add(id, std::move(settle), UsageOf(open, 0).cost_nano_usd, now_us);
    SettlesChanged();
    open_.erase(found);
  }
  WakeDriver();
}

// What was delivered is the beginning of what was accepted.
void Accountant::AddMadeBy(const Open& open, v1::RequestSettle* settle) {
  uint64_t left = open.delivered_total;
  for (const Made& made : open.made) {
    const uint64_t tokens = std::min(left, made.positions);
    if (tokens == 0) continue;
    left -= tokens;
    v1::GroupTokens* out = settle->add_made_by();
    out->set_group_id(made.group_id);
    out->set_group_epoch(made.group_epoch);
    out->set_tokens(tokens);
  }
}

// ---- what is due ----

void Accountant::DueBy(int64_t& due_us, int64_t at_us) {
  if (at_us >= due_us) return;
  due_us = at_us;
  wake_driver_ = true;
}

void Accountant::SettlesChanged() {
  const int64_t due_us = settles_.NextDueUs();
  if (due_us < settle_due_us_) wake_driver_ = true;
  settle_due_us_ = due_us;
}

void Accountant::WakeDriver() {
  {
    MutexLock lock(&mutex_);
    if (!std::exchange(wake_driver_, false)) return;
  }
  if (on_work_) on_work_();
}

int64_t Accountant::NextDueUs() const {
  MutexLock lock(&mutex_);
  return std::min(progress_due_us_, settle_due_us_);
}

Due Accountant::TakeDue(int64_t now_us) {
  MutexLock lock(&mutex_);
  Due due;
  if (now_us >= progress_due_us_) {
    for (auto& [id, open] : open_) {
      const bool stopped = open.granted > 0 && open.end == EndCause::kNone && now_us > open.stop_us;
      if (!stopped) continue;
      open.end = EndCause::kStopped;
      ++counters_.stopped;
      due.ended.push_back(id);
    }
    due.progress = TakeProgress(now_us);
  }
  if (now_us >= settle_due_us_) due.settle = settles_.Take(now_us);
  if (due.settle) due.settle->request.set_gateway_id(options_.gateway_id);
  settle_due_us_ = settles_.NextDueUs();
  return due;
}

std::optional<ProgressCall> Accountant::TakeProgress(int64_t now_us) {
  ProgressCall call;
  call.sent_us = now_us;
  call.request.set_gateway_id(options_.gateway_id);
  progress_due_us_ = kNever;
  for (auto& [id, open] : open_) {
    if (open.granted == 0 || open.end != EndCause::kNone) continue;
    progress_due_us_ = now_us + options_.progress_every_us;
    const uint64_t want = Want(open);
    const bool quiet = open.delivered_total == open.acked_total && want == 0;
    // A quiet stream is heard of too, or R5 would stop it.
    if (quiet && now_us - open.acked_us < options_.stop_after_us / 6) continue;
    open.asked = std::max(open.asked, want);
    v1::RequestProgress* progress = call.request.add_requests();
    progress->set_request_id(id.ToBytes());
    AddDelivered(open.delivered, progress);
    progress->set_want_positions(want);
    progress->set_cached_tokens(open.cached_tokens);
    if (!open.made.empty()) {
      progress->set_group_id(open.made.back().group_id);
      progress->set_group_epoch(open.made.back().group_epoch);
    }
  }
  if (call.request.requests().empty()) return std::nullopt;
  last_progress_us_ = now_us;
  return call;
}

// ---- replies ----

std::vector<RequestId> Accountant::OnProgressReply(const ProgressCall& call, const v1::ProgressReply& reply) {
  MutexLock lock(&mutex_);
  for (const v1::RequestProgress& sent : call.request.requests()) {
    const auto id = RequestId::FromBytes(sent.request_id());
    const auto found = id.ok() ? open_.find(*id) : open_.end();
    if (found == open_.end()) continue;
    uint64_t total = 0;
    for (const v1::ChoiceTokens& choice : sent.delivered()) total += choice.tokens();
    found->second.acked_total = std::max(found->second.acked_total, total);
  }
  std::vector<RequestId> changed;
  for (const v1::ProgressResult& result : reply.results()) {
    const auto id = RequestId::FromBytes(result.request_id());
    const auto found = id.ok() ? open_.find(*id) : open_.end();
    if (found == open_.end()) continue;
    found->second.acked_us = std::max(found->second.acked_us, call.sent_us);
    found->second.stop_us = std::max(found->second.stop_us, call.sent_us + options_.stop_after_us);
    if (Acknowledge(found->second, result)) changed.push_back(*id);
  }
  return changed;
}

// True if the stream should look at its allowance again.
bool Accountant::Acknowledge(Open& open, const v1::ProgressResult& result) {
  bool changed = std::exchange(open.waiting, false);
  if (result.granted_positions() > open.granted) {
    open.granted = result.granted_positions();
    open.budget_refused = false;
    changed = true;
  }
  // Replies may overtake one another: a refusal counts only if nothing was granted after it.
  if (result.stop() == v1::STOP_BUDGET && result.granted_positions() == open.granted) {
    changed = changed || !open.budget_refused;
    open.budget_refused = true;
  }
  if (open.end == EndCause::kNone && result.stop() == v1::STOP_REVOKED) open.end = EndCause::kRevoked;
  if (open.end == EndCause::kNone && result.stop() == v1::STOP_CLOSED) open.end = EndCause::kClosed;
  return changed || open.end != EndCause::kNone;
}

void Accountant::OnSettleReply(const SettleCall& call, const v1::SettleReply& reply, int64_t now_us) {
  {
    MutexLock lock(&mutex_);
    const SettleQueue::Acknowledged acknowledged = settles_.OnReply(call, reply, now_us);
    counters_.settled += acknowledged.settled;
    counters_.settle_mismatches += acknowledged.mismatches;
    SettlesChanged();
  }
  WakeDriver();
}

void Accountant::OnSettleFailed(const SettleCall& call, int64_t now_us) {
  {
    MutexLock lock(&mutex_);
    settles_.OnFailed(call, now_us);
    SettlesChanged();
  }
  WakeDriver();
}

bool Accountant::backlogged() const {
  MutexLock lock(&mutex_);
  return settles_.size() >= options_.max_pending_settles;
}

size_t Accountant::open_requests() const {
  MutexLock lock(&mutex_);
  return open_.size();
}

size_t Accountant::pending_settles() const {
  MutexLock lock(&mutex_);
  return settles_.size();
}

AccountantCounters Accountant::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace quire::gateway
