#include "coordinator/api/admin_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/api_key.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "base/http/bearer.h"
#include "base/http/error_body.h"
#include "base/http/target.h"
#include "coordinator/api/asking.h"
#include "coordinator/api/posting_json.h"

namespace quire::coordinator {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

constexpr const char* kKeysPath = "/admin/v1/keys";

http::ApiError NoAdminKey() {
  return {.status = 401,
          .message = "give an admin key: Authorization: Bearer ak-quire-...",
          .code = "invalid_api_key"};
}

http::ApiError LastAdminKey() {
  return {.status = 409,
          .message = "this is the last admin key: create another one first",
          .code = "last_admin_key"};
}

json ListOf(json data) {
  json body = json::object();
  body["object"] = "list";
  body["data"] = std::move(data);
  return body;
}

json UsageBody(const std::vector<UsageRow>& rows, const UsageQuery& query,
               const std::vector<AccountRow>& accounts) {
  json data = json::array();
  UsageRow total;
  for (const UsageRow& row : rows) {
    data.push_back(UsageJson(row));
    total.requests += row.requests;
    total.prompt_tokens += row.prompt_tokens;
    total.cached_tokens += row.cached_tokens;
    total.completion_tokens += row.completion_tokens;
    total.cost_nano_usd += row.cost_nano_usd;
    total.reversed_nano_usd += row.reversed_nano_usd;
  }
  json body = ListOf(std::move(data));
  body["total"] = UsageJson(total);
  for (const char* of_one_row : {"account", "key_id", "model"}) body["total"].erase(of_one_row);
  body["accounts"] = json::array();
  for (const AccountRow& account : accounts) {
    if (!query.account || *query.account == account.id) body["accounts"].push_back(AccountJson(account));
  }
  return body;
}

// It harms nobody, since nobody has its secret.
void LogUnseen(const std::string& key_id, const std::string& why) {
  Log(LogLevel::kWarn, "unseen_key_not_revoked", "key_id", key_id, "why", why, "what_to_do", "revoke it");
}

// Any thread; the ledger may reply when the AdminService is gone. NotFound is fine: the key was refused.
// Owed: a full queue is no reason to let it live.
void RevokeUnseen(LedgerThread& ledger_thread, const std::string& key_id, int64_t now_ms) {
  auto revoke = [key_id, now_ms](Ledger& ledger) {
    ledger.RevokeKey(key_id, now_ms, [key_id](const absl::StatusOr<KeyRow>& revoked) {
      if (revoked.ok()) return Log(LogLevel::kWarn, "unseen_key_revoked", "key_id", key_id);
      if (!absl::IsNotFound(revoked.status())) LogUnseen(key_id, MessageOf(revoked.status()));
    });
  };
  if (!ledger_thread.PostOwed(std::move(revoke))) LogUnseen(key_id, "the ledger has stopped");
}

}  // namespace

AdminService::AdminService(const Parts& parts, std::string pepper)
    : parts_(parts), pepper_(std::move(pepper)), state_metrics_(*parts.metrics) {}

// ---- the doors ----

http::RouteTable AdminService::Routes() {
  http::RouteTable routes;
  http::AddProbes(routes, Probes());
  const auto add = [&](const char* verb, const std::string& path, Method method) {
    routes.Add(verb, path,
               [this, method](http::Exchange& exchange) { return AnswerAdmin(exchange, method); });
  };
  add("POST", kKeysPath, &AdminService::CreateKey);
  add("GET", kKeysPath, &AdminService::ListKeys);
  add("DELETE", absl::StrCat(kKeysPath, "/*"), &AdminService::RevokeKey);
  add("PUT", "/admin/v1/accounts/*", &AdminService::SetCap);
  add("GET", "/admin/v1/groups", &AdminService::ListGroups);
  add("POST", "/admin/v1/credits", &AdminService::PostCredit);
  add("POST", "/admin/v1/reversals", &AdminService::PostReversal);
  add("GET", "/admin/v1/entries", &AdminService::ListEntries);
  add("GET", "/admin/v1/usage", &AdminService::ShowUsage);
  add("GET", "/admin/v1/audit", &AdminService::ShowAudit);
  return routes;
}

http::Guard AdminService::Guard() {
  return [this](http::Exchange& exchange) -> std::optional<http::ApiError> {
    if (IsAdmin(exchange)) return std::nullopt;
    return NoAdminKey();
  };
}

awaitable<void> AdminService::AnswerAdmin(http::Exchange& exchange, Method method) {
  if (!IsAdmin(exchange)) co_return co_await exchange.Send(http::ErrorReply(NoAdminKey()));
  http::Reply reply = co_await (this->*method)(exchange);
  co_await exchange.Send(std::move(reply));
}

bool AdminService::IsAdmin(http::Exchange& exchange) const {
  const std::string text(http::BearerToken(exchange.head()));
  const std::optional<ParsedApiKey> parsed = ParseApiKey(text);
  if (!parsed || parsed->kind != KeyKind::kAdmin) return false;
  const std::optional<KeyRow> key = parts_.facts->FindKey(parsed->id);
  // An unknown id costs the same time as a wrong secret.
  const std::string expected = key ? key->hmac : std::string(Digest().size(), '\0');
  const bool equal = ConstantTimeEqual(ToBytes(ApiKeyHmac(pepper_, text)), expected);
  if (!equal || !key || key->kind != KeyKind::kAdmin) return false;
  exchange.record().key_id = key->id;
  exchange.record().account = key->account;
  return true;
}

// ---- keys ----

AdminService::Answer AdminService::CreateKey(http::Exchange& exchange) {
  const std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return http::Reply();  // answered already
  const absl::StatusOr<NewKeySpec> spec = ParseNewKey(*body);
  if (!spec.ok()) co_return ErrorReply(spec.status());
  const NewApiKey made = GenerateApiKey(spec->kind);
  KeyRow row;
  row.id = made.id;
  row.kind = spec->kind;
  row.hmac = ToBytes(ApiKeyHmac(pepper_, made.text));
  row.account = spec->account;
  row.name = spec->name;
  row.models = spec->models;
  row.created_ms = parts_.clock->UnixMs();
  std::optional<Ledger::NewCap> cap;
  if (spec->has_cap) cap = {spec->cap_nano_usd};
  // Set by whoever comes first: the reply, or this handler that waits for it no longer. Then the other one
  // sees to it that no key lives whose secret nobody has seen.
  const auto one_came = std::make_shared<std::atomic<bool>>(false);
  auto create = [ledger_thread = parts_.ledger, row, cap, one_came](Ledger& ledger, Reply<KeyRow> reply) {
    if (*one_came) return;
    auto handed = [ledger_thread, now_ms = row.created_ms, id = row.id, one_came,
                   reply = std::move(reply)](absl::StatusOr<KeyRow> made) mutable {
      if (one_came->exchange(true)) RevokeUnseen(*ledger_thread, id, now_ms);
      reply(std::move(made));
    };
    ledger.CreateKey(row, std::move(handed), cap);
  };
  const absl::StatusOr<KeyRow> stored =
      co_await AskLedger<KeyRow>(exchange, *parts_.ledger, parts_.patience, std::move(create));
  if (!stored.ok()) {
    if (one_came->exchange(true)) RevokeUnseen(*parts_.ledger, row.id, parts_.clock->UnixMs());
    co_return ErrorReply(stored.status());
  }
  Log(LogLevel::kInfo, "key_created", "key_id", stored->id, "account", stored->account);
  json shown = KeyJson(*stored);
  shown["key"] = made.text;  // this once
  co_return JsonReply(201, shown);
}

AdminService::Answer AdminService::SetCap(http::Exchange& exchange) {
  const std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return http::Reply();  // answered already
  const absl::StatusOr<CapSpec> spec = ParseCap(exchange.tail(), *body);
  if (!spec.ok()) co_return ErrorReply(spec.status());
  auto put = [spec = *spec](Ledger& ledger, Reply<AccountRow> reply) {
    ledger.PutAccount(spec.account, spec.cap_nano_usd, std::move(reply));
  };
  const absl::StatusOr<AccountRow> account =
      co_await AskLedger<AccountRow>(exchange, *parts_.ledger, parts_.patience, std::move(put));
  if (!account.ok()) co_return ErrorReply(account.status());
  Log(LogLevel::kInfo, "cap_set", "account", account->id);
  co_return JsonReply(200, AccountJson(*account));
}

AdminService::Answer AdminService::ListKeys(http::Exchange&) {
  json data = json::array();
  for (const KeyRow& key : parts_.facts->AllKeys()) data.push_back(KeyJson(key));
  co_return JsonReply(200, ListOf(std::move(data)));
}

AdminService::Answer AdminService::RevokeKey(http::Exchange& exchange) {
  const std::string key_id = exchange.tail();
  auto revoke = [key_id, now_ms = parts_.clock->UnixMs()](Ledger& ledger, Reply<KeyRow> reply) {
    ledger.RevokeKey(key_id, now_ms, std::move(reply));
  };
  const absl::StatusOr<KeyRow> revoked =
      co_await AskLedger<KeyRow>(exchange, *parts_.ledger, parts_.patience, std::move(revoke));
  if (absl::IsPermissionDenied(revoked.status())) co_return http::ErrorReply(LastAdminKey());
  if (!revoked.ok()) co_return ErrorReply(revoked.status());
  Log(LogLevel::kInfo, "key_revoked", "key_id", revoked->id, "account", revoked->account);
  co_return JsonReply(200, KeyJson(*revoked));
}

// ---- postings ----

AdminService::Answer AdminService::PostCredit(http::Exchange& exchange) {
  const std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return http::Reply();  // answered already
  const absl::StatusOr<Ledger::NewCredit> credit = ParseCredit(*body);
  if (!credit.ok()) co_return ErrorReply(credit.status());
  Posting posting = [credit = *credit](Ledger& ledger, Reply<EntryRow> reply) {
    ledger.Credit(credit, std::move(reply));
  };
  co_return co_await Post(exchange, "credit_posted", std::move(posting));
}

AdminService::Answer AdminService::PostReversal(http::Exchange& exchange) {
  const std::optional<std::string> body = co_await exchange.ReadBody();
  if (!body) co_return http::Reply();  // answered already
  const absl::StatusOr<ReversalSpec> spec = ParseReversal(*body);
  if (!spec.ok()) co_return ErrorReply(spec.status());
  Posting posting = [spec = *spec](Ledger& ledger, Reply<EntryRow> reply) {
    ledger.Reverse(spec.entry, spec.note, std::move(reply));
  };
  co_return co_await Post(exchange, "reversal_posted", std::move(posting));
}

AdminService::Answer AdminService::Post(http::Exchange& exchange, const char* event, Posting posting) {
  const absl::StatusOr<EntryRow> entry =
      co_await AskLedger<EntryRow>(exchange, *parts_.ledger, parts_.patience, std::move(posting));
  if (!entry.ok()) co_return ErrorReply(entry.status());
  Log(LogLevel::kInfo, event, "entry", entry->id.ToHex(), "account", entry->account);
  co_return JsonReply(200, EntryJson(*entry));
}

// ---- reports ----

AdminService::Answer AdminService::ListEntries(http::Exchange& exchange) {
  using Entries = std::vector<PostedEntry>;
  absl::StatusOr<EntriesQuery> query = ParseEntriesQuery(http::ParseQuery(exchange.head().query));
  if (!query.ok()) co_return ErrorReply(query.status());
  const uint64_t limit = query->limit++;  // one more: whether there are more
  auto read = [reports = parts_.reports, query = *query] { return reports->Entries(query); };
  absl::StatusOr<Entries> entries =
      co_await AskThread<Entries>(exchange, reports_thread_, parts_.report_patience, std::move(read));
  if (!entries.ok()) co_return ErrorReply(entries.status());
  const bool has_more = entries->size() > limit;
  if (has_more) entries->pop_back();
  json data = json::array();
  for (const PostedEntry& entry : *entries) data.push_back(EntryJson(entry));
  json body = ListOf(std::move(data));
  body["has_more"] = has_more;
  co_return JsonReply(200, body);
}

AdminService::Answer AdminService::ListGroups(http::Exchange& exchange) {
  using Driven = std::vector<DrivenGroup>;
  auto list = [fleet = parts_.fleet]() -> absl::StatusOr<Driven> {
    return fleet != nullptr ? fleet->List() : Driven();
  };
  const absl::StatusOr<Driven> driven =
      co_await AskThread<Driven>(exchange, fleet_thread_, parts_.patience, std::move(list));
  if (!driven.ok()) co_return ErrorReply(driven.status());
  const RouterReport report = parts_.router->Report();
  json body = ListOf(GroupsJson(report, *driven));
  body["open_requests"] = report.open_requests;
  body["waiting_requests"] = report.waiting;
  co_return JsonReply(200, body);
}

AdminService::Answer AdminService::ShowUsage(http::Exchange& exchange) {
  using Rows = std::vector<UsageRow>;
  const absl::StatusOr<UsageQuery> query = ParseUsageQuery(http::ParseQuery(exchange.head().query));
  if (!query.ok()) co_return ErrorReply(query.status());
  auto sum = [reports = parts_.reports, query = *query] { return reports->Usage(query); };
  const absl::StatusOr<Rows> rows =
      co_await AskThread<Rows>(exchange, reports_thread_, parts_.report_patience, std::move(sum));
  if (!rows.ok()) co_return ErrorReply(rows.status());
  co_return JsonReply(200, UsageBody(*rows, *query, parts_.facts->Accounts()));
}

AdminService::Answer AdminService::ShowAudit(http::Exchange& exchange) {
  auto audit = [reports = parts_.reports] { return reports->Audit(); };
  const absl::StatusOr<AuditReport> report =
      co_await AskThread<AuditReport>(exchange, reports_thread_, parts_.report_patience, std::move(audit));
  co_return report.ok() ? JsonReply(200, AuditJson(*report)) : ErrorReply(report.status());
}

// ---- probes ----

http::Probes AdminService::Probes() {
  return {.readiness = [this] { return ReadinessNow(); }, .metrics = [this] { return MetricsText(); }};
}

std::string AdminService::MetricsText() {
  const RouterReport report = parts_.router->Report();
  RefreshFleetMetrics();
  {
    MutexLock lock(&metrics_mutex_);
    state_metrics_.Update(report);
    state_metrics_.Update(parts_.ledger->counters());
  }
  return parts_.metrics->Text();
}

// The driver's list may wait for a disk: it is there for the next one who asks.
void AdminService::RefreshFleetMetrics() {
  if (parts_.fleet == nullptr || refreshing_fleet_.exchange(true)) return;
  const bool posted = fleet_thread_.TryPost([this] {
    const std::vector<DrivenGroup> driven = parts_.fleet->List();
    {
      MutexLock lock(&metrics_mutex_);
      state_metrics_.Update(driven);
    }
    refreshing_fleet_ = false;
  });
  if (!posted) refreshing_fleet_ = false;
}

http::Readiness AdminService::ReadinessNow() const {
  if (draining_) return {.ready = false, .state = "draining"};
  if (parts_.ledger->commits_fail()) {
    return {.ready = false, .state = "the ledger can't be written: see ledger_commit_failed in the log"};
  }
  if (parts_.ledger->hangs()) {
    return {.ready = false, .state = "the ledger's disk does not answer: nobody is admitted until it does"};
  }
  const RouterReport report = parts_.router->Report();
  const auto serving =
      std::count_if(report.groups.begin(), report.groups.end(),
                    [](const GroupReport& group) { return group.state == GroupState::kServing; });
  return {.ready = true, .state = absl::StrCat("serving, groups: ", serving)};
}

}  // namespace quire::coordinator
