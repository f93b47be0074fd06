#include "coordinator/api/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/token_price.h"

namespace quire::coordinator {
namespace {

constexpr uint64_t kFirstGrant = LedgerOptions::kFirstGrant;
constexpr int kMaxPrefixHashes = 64;
constexpr int64_t kMaxReadmitWaitUs = 60'000'000;

v1::Refusal MakeRefusal(v1::RefusalReason reason, const std::string& message) {
  v1::Refusal refusal;
  refusal.set_reason(reason);
  refusal.set_message(message);
  return refusal;
}

// No refusal: gateways ask again, under the same id.
absl::Status Ending() {
  return absl::UnavailableError("this coordinator is ending: ask the one that comes next");
}

// What routing computes with must be in bounds before the ledger says so.
absl::Status CheckSizes(const v1::AdmitRequest& request) {
  if (request.choices() < 1 || request.choices() > kFirstGrant ||
      request.max_tokens() > kMaxTokensPerRequest / request.choices() ||
      request.prompt_tokens() > kMaxTokensPerRequest) {
    return absl::InvalidArgumentError(absl::StrCat("choices must be 1..", kFirstGrant,
                                                   ", and prompt_tokens and choices x max_tokens at most ",
                                                   kMaxTokensPerRequest));
  }
  if (request.prefix_hashes_size() > kMaxPrefixHashes) {
    return absl::InvalidArgumentError(absl::StrCat("at most ", kMaxPrefixHashes, " prefix_hashes"));
  }
  return absl::OkStatus();
}

RouteRequest RouteOf(const v1::AdmitRequest& request, const RequestId& id, const std::string& account) {
  RouteRequest route;
  route.id = id;
  route.account = account;
  route.model = request.model();
  route.prompt_tokens = request.prompt_tokens();
  const uint64_t positions = request.choices() * PositionsEach(request.max_tokens());
  route.positions = std::min(kFirstGrant, positions);
  route.most_tokens = request.prompt_tokens() + positions;
  route.prefix_hashes.assign(request.prefix_hashes().begin(), request.prefix_hashes().end());
  route.max_wait_us = int64_t{request.max_wait_ms()} * 1000;
  route.bundle_digest = request.bundle_digest();
  return route;
}

uint64_t ChoicesOf(const v1::ReadmitRequest& request) { return std::max<uint64_t>(1, request.choices()); }

absl::Status CheckSizes(const v1::ReadmitRequest& request) {
  const bool in_bounds = request.prompt_tokens() <= kMaxTokensPerRequest &&
                         request.choices() <= kFirstGrant &&
                         request.max_tokens() <= kMaxTokensPerRequest / ChoicesOf(request) &&
                         request.tokens_so_far() >= request.prompt_tokens() &&
                         request.tokens_so_far() - request.prompt_tokens() <= kMaxTokensPerRequest &&
                         request.prefix_hashes_size() <= kMaxPrefixHashes;
  if (in_bounds) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokens_so_far must be prompt_tokens and what was generated, none of them nor choices x "
                   "max_tokens above ",
                   kMaxTokensPerRequest, ", choices at most ", kFirstGrant, ", and prefix_hashes at most ",
                   kMaxPrefixHashes));
}

// One that was running: what it has is its prompt now, and the rest is still to come.
RouteRequest RouteOfRest(const v1::ReadmitRequest& request, const RequestId& id) {
  const uint64_t generated = request.tokens_so_far() - request.prompt_tokens();
  RouteRequest route;
  route.id = id;
  route.model = request.model();
  route.prompt_tokens = request.tokens_so_far();
  const uint64_t most = ChoicesOf(request) * request.max_tokens();
  route.positions = std::min(kFirstGrant, most - std::min(most, generated));
  route.most_tokens = request.prompt_tokens() + std::max(most, generated);
  route.prefix_hashes.assign(request.prefix_hashes().begin(), request.prefix_hashes().end());
  route.max_wait_us = std::min(int64_t{request.max_wait_ms()} * 1000, kMaxReadmitWaitUs);
  route.running = true;
  route.failed = {request.failed_group_id(), request.failed_group_epoch()};
  route.numerics_id = request.numerics_id();
  route.bundle_digest = request.bundle_digest();
  return route;
}

}  // namespace

Admission::Admission(LedgerThread* ledger, Router* router, const SlowFacts* facts, Metrics& metrics)
    : ledger_(ledger), router_(router), facts_(facts) {
  const auto* reasons = v1::RefusalReason_descriptor();
  for (int i = 0; i < reasons->value_count(); ++i) {
    refusals_[static_cast<v1::RefusalReason>(reasons->value(i)->number())] = &metrics.Counter(
        "quire_coordinator_refusals_total", "Requests refused by Admit and Readmit, by reason.",
        {{"reason", reasons->value(i)->name()}});
  }
}

uint64_t Admission::Admit(const v1::AdmitRequest& request, AdmitSink sink) {
  const absl::StatusOr<RequestId> id = RequestId::FromBytes(request.request_id());
  absl::Status valid = id.ok() ? CheckSizes(request) : id.status();
  if (!valid.ok()) {
    sink(valid, true);
    return 0;
  }
  std::string account;
  v1::AdmitReply reply;
  std::optional<v1::Refusal> refusal = CheckRights(request, &account);
  // One that is open already has its own hold in that sum.
  if (!refusal && !facts_->CanAfford(account, request) && !router_->IsOpen(*id)) {
    refusal = MakeRefusal(v1::REFUSAL_BUDGET,
                          "the account's cap is reached; raise it or wait for running requests");
  }
  if (refusal) {
    Count(*refusal);
    *reply.mutable_refusal() = *std::move(refusal);
    sink(reply, true);
    return 0;
  }
  return router_->Place(RouteOf(request, *id, account), [this, request, id = *id, sink](const Route& route) {
    if (route.ending) return sink(Ending(), true);
    v1::AdmitReply answer;
    if (!route.placement) {
      Count(route.refusal);
      *answer.mutable_refusal() = route.refusal;
      return sink(answer, true);
    }
    *answer.mutable_placement() = *route.placement;
    sink(answer, false);
    TakeHold(request, id, sink);
  });
}

// Told early, like the money, so that nobody waits in the queue or starts a prefill in vain; the ledger
// checks again.
std::optional<v1::Refusal> Admission::CheckRights(const v1::AdmitRequest& request,
                                                  std::string* account) const {
  const std::optional<KeyRow> key = facts_->FindKey(request.key_id());
  if (!key || key->kind != KeyKind::kApi)
    return MakeRefusal(v1::REFUSAL_KEY, "the key is unknown or revoked");
  if (!facts_->HasModel(request.model())) return MakeRefusal(v1::REFUSAL_MODEL, "the model is unknown");
  const bool in_scope = key->models.empty() || std::find(key->models.begin(), key->models.end(),
                                                         request.model()) != key->models.end();
  if (!in_scope) return MakeRefusal(v1::REFUSAL_SCOPE, "the key may not use this model");
  *account = key->account;
  return std::nullopt;
}

void Admission::TakeHold(const v1::AdmitRequest& request, const RequestId& id, AdmitSink sink) {
  ledger_->Admit(request, [this, id, sink = std::move(sink)](absl::StatusOr<v1::AdmitReply> reply) {
    if (!reply.ok() || !reply->has_grant()) {
      if (reply.ok()) Count(reply->refusal());
      router_->Refused(id);
    }
    sink(reply, true);
  });
}

uint64_t Admission::Readmit(const v1::ReadmitRequest& request, ReadmitSink sink) {
  const absl::StatusOr<RequestId> id = RequestId::FromBytes(request.request_id());
  const absl::Status valid = id.ok() ? CheckSizes(request) : id.status();
  if (!valid.ok()) {
    sink(valid);
    return 0;
  }
  RouteRequest route = RouteOfRest(request, *id);
  // A key that was revoked meanwhile ends its streams by the ledger's word (Progress).
  if (const std::optional<KeyRow> key = facts_->FindKey(request.key_id())) route.account = key->account;
  return router_->Place(std::move(route), [this, sink](const Route& placed) {
    if (placed.ending) return sink(Ending());
    v1::ReadmitReply answer;
    if (placed.placement) {
      *answer.mutable_placement() = *placed.placement;
    } else {
      Count(placed.refusal);
      *answer.mutable_refusal() = placed.refusal;
    }
    sink(answer);
  });
}

void Admission::GiveUp(const RequestId& id, uint64_t ticket) { router_->Cancel(id, ticket); }

void Admission::Progress(const v1::ProgressRequest& request, Reply<v1::ProgressReply> reply) {
  for (const v1::RequestProgress& progress : request.requests()) {
    const absl::StatusOr<RequestId> id = RequestId::FromBytes(progress.request_id());
    if (id.ok()) router_->Heard(*id, {progress.group_id(), progress.group_epoch()});
  }
  ledger_->Progress(request, std::move(reply));
}

// The stream has ended, whatever the ledger says: its blocks are free now. (What the ledger closes is told
// from its commits: ledger_news.h.)
void Admission::Settle(const v1::SettleRequest& request, Reply<v1::SettleReply> reply) {
  for (const v1::RequestSettle& settle : request.requests()) {
    const absl::StatusOr<RequestId> id = RequestId::FromBytes(settle.request_id());
    if (!id.ok()) continue;
    Served served;
    served.cached_tokens = settle.cached_tokens();
    for (const v1::GroupTokens& made : settle.made_by()) {
      served.made_by.push_back({{made.group_id(), made.group_epoch()}, made.tokens()});
    }
    router_->Release(*id, settle.delivered_size() > 0 ? std::optional(served) : std::nullopt);
  }
  ledger_->Settle(request, std::move(reply));
}

void Admission::Count(const v1::Refusal& refusal) {
  auto it = refusals_.find(refusal.reason());
  if (it != refusals_.end()) it->second->Increment();
}

}  // namespace quire::coordinator
